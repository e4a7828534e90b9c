//! `VirtualClock`, `RealClock`.

use std::task::Poll;

use dsb_core::Ns;
use dsb_core::clock::{self, Clock as _};
use pyo3::prelude::*;

use crate::arguments::Natural;
use crate::door::detached;
use crate::error::raise;

/// Stream time that moves only when told to.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct VirtualClock(clock::VirtualClock);

#[pymethods]
impl VirtualClock {
    #[new]
    fn new() -> Self {
        Self(clock::VirtualClock::default())
    }

    #[getter]
    fn now_ns(&self) -> i64 {
        self.0.now().0
    }

    fn sleep_until(&self, t_ns: i64) -> i64 {
        self.0.sleep_until(Ns(t_ns)).0
    }

    fn charge(&self, duration_ns: Natural) -> PyResult<()> {
        self.0.charge(duration_ns.ns()?);
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("VirtualClock(now_ns={})", self.now_ns())
    }
}

/// Stream time that runs with the wall clock.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct RealClock(clock::RealClock);

#[pymethods]
impl RealClock {
    #[new]
    #[pyo3(signature = (speed = 1.0))]
    fn new(speed: f64) -> PyResult<Self> {
        clock::RealClock::new(speed).map(Self).map_err(raise)
    }

    #[getter]
    fn now_ns(&self) -> i64 {
        self.0.now().0
    }

    fn sleep_until(&self, py: Python<'_>, t_ns: i64) -> PyResult<i64> {
        detached(py, |slice| {
            if self.0.wall_until(Ns(t_ns)) > slice {
                std::thread::sleep(slice);
                return Ok(Poll::Pending);
            }
            Ok(Poll::Ready(self.0.sleep_until(Ns(t_ns)).0))
        })
    }

    fn charge(&self, duration_ns: Natural) -> PyResult<()> {
        self.0.charge(duration_ns.ns()?);
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("RealClock(now_ns={})", self.now_ns())
    }
}
