//! `RingStats`.

use dsb_core::ring::Stats;
use pyo3::prelude::*;

/// Counters since the ring was made.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct RingStats(pub(crate) Stats);

#[pymethods]
impl RingStats {
    #[getter]
    fn pushed(&self) -> u64 {
        self.0.pushed
    }

    #[getter]
    fn evicted(&self) -> u64 {
        self.0.evicted
    }

    #[getter]
    fn dropped(&self) -> u64 {
        self.0.dropped
    }

    #[getter]
    fn pinned(&self) -> u64 {
        self.0.pinned
    }

    fn __repr__(&self) -> String {
        let Stats { pushed, evicted, dropped, pinned } = self.0;
        format!("RingStats(pushed={pushed}, evicted={evicted}, dropped={dropped}, pinned={pinned})")
    }
}
