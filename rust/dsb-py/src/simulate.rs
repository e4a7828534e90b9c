//! `Simulator`, `Simulation`.

use std::task::Poll;

use dsb_core::simulate::{
    self, Discipline, GiveUp, Outcome, Route, Rules, Sharing, Status, System, Totals, Trace,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::arguments::{Column, Natural, spelled};
use crate::door::detached;
use crate::error::raise;

/// A trace of measured service times and the rules by which the systems work.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct Simulator {
    core: simulate::Simulator,
    slots: usize,
}

#[pymethods]
impl Simulator {
    #[new]
    #[pyo3(signature = (
        *, arrival_ns, s1_service_ns, s2_service_ns, deadline_ns = None, priority = None, stream = None,
        slots = Natural(1), discipline = "fifo", at_deadline = "never",
        on_newer = "never", sharing = None
    ), text_signature = "(*, arrival_ns, s1_service_ns, s2_service_ns, deadline_ns=None, priority=None, stream=None, \
                         slots=1, discipline='fifo', at_deadline='never', on_newer='never', sharing=None)")]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments")]
    fn new(
        py: Python<'_>,
        arrival_ns: Column<i64>,
        s1_service_ns: Column<i64>,
        s2_service_ns: Column<i64>,
        deadline_ns: Option<Column<i64>>,
        priority: Option<Column<i64>>,
        stream: Option<Column<i64>>,
        slots: Natural,
        discipline: &str,
        at_deadline: &str,
        on_newer: &str,
        sharing: Option<(Vec<u32>, Vec<u32>, Vec<u32>)>,
    ) -> PyResult<Self> {
        let trace = Trace {
            arrival_ns: arrival_ns.0,
            s1_service_ns: s1_service_ns.0,
            s2_service_ns: s2_service_ns.0,
            deadline_ns: deadline_ns.map(|column| column.0),
            priority: priority.map(|column| column.0),
            stream: stream.map(|column| column.0),
        };
        let slots = slots.size()?;
        let rules = Rules {
            slots,
            discipline: spelled("discipline", discipline, &DISCIPLINES)?,
            at_deadline: spelled("at_deadline", at_deadline, &GIVE_UPS)?,
            on_newer: spelled("on_newer", on_newer, &GIVE_UPS)?,
            sharing: sharing.map(|(s1, s2, s2_beside_s1)| Sharing { s1, s2, s2_beside_s1 }),
        };
        let core = py.detach(|| simulate::Simulator::new(trace, rules)).map_err(raise)?;
        Ok(Self { core, slots })
    }

    fn run(&self, py: Python<'_>, route: Column<u8>) -> PyResult<Simulation> {
        let routes: Vec<Route> = route
            .0
            .iter()
            .enumerate()
            .map(|(i, &code)| to_route(i, code))
            .collect::<PyResult<_>>()?;
        let mut outcomes = Vec::new();
        let totals = detached(py, |_| self.core.run(&routes, &mut outcomes).map(Poll::Ready))?;
        Ok(Simulation { outcomes, totals, slots: self.slots })
    }
}

fn to_route(i: usize, code: u8) -> PyResult<Route> {
    match code {
        0 => Ok(Route::S1),
        1 => Ok(Route::S2),
        2 => Ok(Route::Escalate),
        _ => {
            let message = format!("route[{i}] is {code}; 0 is S1, 1 is S2, 2 is S1 and then S2");
            Err(PyValueError::new_err(message))
        }
    }
}

/// What became of each query.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct Simulation {
    outcomes: Vec<Outcome>,
    totals: Totals,
    slots: usize,
}

#[pymethods]
impl Simulation {
    #[getter]
    fn start_ns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.times(py, |outcome| outcome.start_ns.unwrap_or(-1))
    }

    #[getter]
    fn finish_ns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.times(py, |outcome| outcome.finish_ns)
    }

    #[getter]
    fn waited_ns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.times(py, |outcome| outcome.waited_ns)
    }

    #[getter]
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.codes(py, |outcome| match outcome.status {
            Status::Answered => 0,
            Status::Late => 1,
            Status::Cancelled => 2,
            Status::Dropped => 3,
        })
    }

    #[getter]
    fn answered_by<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.codes(py, |outcome| match outcome.answered_by {
            None => 0,
            Some(System::S1) => 1,
            Some(System::S2) => 2,
        })
    }

    #[getter]
    fn answered(&self) -> u64 {
        self.totals.answered
    }

    #[getter]
    fn late(&self) -> u64 {
        self.totals.late
    }

    #[getter]
    fn cancelled(&self) -> u64 {
        self.totals.cancelled
    }

    #[getter]
    fn dropped(&self) -> u64 {
        self.totals.dropped
    }

    #[getter]
    fn horizon_ns(&self) -> i64 {
        self.totals.horizon_ns
    }

    #[getter]
    fn services(&self) -> (u64, u64) {
        (self.totals.s1.services, self.totals.s2.services)
    }

    #[getter]
    fn busy_ns(&self) -> (u128, u128) {
        (self.totals.s1.busy_ns, self.totals.s2.busy_ns)
    }

    #[getter]
    fn queued_ns(&self) -> (u128, u128) {
        (self.totals.s1.waited_ns, self.totals.s2.waited_ns)
    }

    #[getter]
    fn utilisation(&self) -> (f64, f64) {
        (self.totals.s1_utilisation(), self.totals.s2_utilisation(self.slots))
    }

    #[getter]
    fn mean_queue(&self) -> (f64, f64) {
        (self.totals.s1_mean_queue(), self.totals.s2_mean_queue())
    }

    fn __len__(&self) -> usize {
        self.outcomes.len()
    }

    fn __repr__(&self) -> String {
        let Totals { answered, late, cancelled, dropped, .. } = self.totals;
        format!(
            "Simulation({answered} answered, {late} late, {cancelled} cancelled, {dropped} dropped)"
        )
    }
}

impl Simulation {
    fn times<'py>(&self, py: Python<'py>, of: fn(&Outcome) -> i64) -> PyResult<Bound<'py, PyAny>> {
        let bytes = PyBytes::new_with(py, 8 * self.outcomes.len(), |bytes| {
            for (to, outcome) in bytes.chunks_exact_mut(8).zip(&self.outcomes) {
                to.copy_from_slice(&of(outcome).to_ne_bytes());
            }
            Ok(())
        })?;
        PyMemoryView::from(&bytes)?.call_method1("cast", ("q",))
    }

    fn codes<'py>(&self, py: Python<'py>, of: fn(&Outcome) -> u8) -> PyResult<Bound<'py, PyAny>> {
        let codes: Vec<u8> = self.outcomes.iter().map(of).collect();
        Ok(PyMemoryView::from(&PyBytes::new(py, &codes))?.into_any())
    }
}

const DISCIPLINES: [(&str, Discipline); 3] = [
    ("fifo", Discipline::Fifo),
    ("edf", Discipline::EarliestDeadline),
    ("priority", Discipline::Priority),
];

const GIVE_UPS: [(&str, GiveUp); 3] =
    [("never", GiveUp::Never), ("waiting", GiveUp::Waiting), ("running", GiveUp::Running)];
