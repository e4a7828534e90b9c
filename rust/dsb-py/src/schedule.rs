//! `Event`, `Scheduler`.

use std::sync::{Mutex, PoisonError};

use dsb_core::Ns;
use dsb_core::schedule::{self, Event as Step, Poll, Query, Session};
use pyo3::prelude::*;

use crate::arguments::{Fraction, Natural};
use crate::error::raise;

/// One step of a session. A field that its kind does not have is 0.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct Event(Step);

#[pymethods]
impl Event {
    #[getter]
    fn kind(&self) -> &'static str {
        match self.0 {
            Step::Frames { .. } => "frames",
            Step::Prefill { .. } => "prefill",
            Step::Poll { .. } => "poll",
            Step::Query { .. } => "query",
            Step::End { .. } => "end",
        }
    }

    #[getter]
    fn t_ns(&self) -> i64 {
        self.0.t().0
    }

    #[getter]
    fn start(&self) -> u64 {
        match self.0 {
            Step::Frames { start, .. } | Step::Prefill { start, .. } => start,
            _ => 0,
        }
    }

    #[getter]
    fn stop(&self) -> u64 {
        match self.0 {
            Step::Frames { stop, .. } | Step::Prefill { stop, .. } => stop,
            _ => 0,
        }
    }

    #[getter]
    fn key(&self) -> i64 {
        match self.0 {
            Step::Poll { key, .. } | Step::Query { key, .. } => key,
            _ => 0,
        }
    }

    #[getter]
    fn index(&self) -> u64 {
        match self.0 {
            Step::Poll { index, .. } => index,
            _ => 0,
        }
    }

    fn __repr__(&self) -> String {
        let (kind, t_ns) = (self.kind(), self.t_ns());
        match self.0 {
            Step::Frames { start, stop, .. } | Step::Prefill { start, stop, .. } => {
                format!("Event({kind}, t_ns={t_ns}, start={start}, stop={stop})")
            }
            Step::Poll { key, index, .. } => {
                format!("Event({kind}, t_ns={t_ns}, key={key}, index={index})")
            }
            Step::Query { key, .. } => format!("Event({kind}, t_ns={t_ns}, key={key})"),
            Step::End { .. } => format!("Event({kind}, t_ns={t_ns})"),
        }
    }
}

/// The events of one session in stream-time order.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct Scheduler(Mutex<schedule::Scheduler>);

#[pymethods]
impl Scheduler {
    #[new]
    #[pyo3(
        signature = (*, frame_rate, end_ns, queries = vec![], polls = vec![], prefill_stride = Natural(1), max_frames = Natural(64)),
        text_signature = "(*, frame_rate, end_ns, queries=(), polls=(), prefill_stride=1, max_frames=64)"
    )]
    fn new(
        frame_rate: Fraction,
        end_ns: i64,
        queries: Vec<(i64, i64)>,
        polls: Vec<(i64, i64, i64, Fraction)>,
        prefill_stride: Natural,
        max_frames: Natural,
    ) -> PyResult<Self> {
        let query = |(t_ns, key)| Query { t: Ns(t_ns), key };
        let poll = |(key, start_ns, stop_ns, period): (_, _, _, Fraction)| Poll {
            key,
            start: Ns(start_ns),
            stop: Ns(stop_ns),
            period: period.0,
        };
        let session = Session {
            frame_rate: frame_rate.0,
            end: Ns(end_ns),
            queries: queries.into_iter().map(query).collect(),
            polls: polls.into_iter().map(poll).collect(),
            prefill_stride: prefill_stride.0,
            max_frames: max_frames.0,
        };
        let scheduler = schedule::Scheduler::new(session).map_err(raise)?;
        Ok(Self(Mutex::new(scheduler)))
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self) -> Option<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next().map(Event)
    }
}
