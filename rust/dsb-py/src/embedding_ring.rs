//! `EmbeddingRing`.

use dsb_core::{Ns, ring};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;

use crate::arguments::Natural;
use crate::buffer::with_bytes;
use crate::error::raise;
use crate::ring_stats::RingStats;
use crate::window::Window;

/// A ring of fixed-size byte records that the caller fills.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct EmbeddingRing(ring::EmbeddingRing);

#[pymethods]
impl EmbeddingRing {
    #[new]
    #[pyo3(signature = (*, record_bytes, capacity))]
    fn new(record_bytes: Natural, capacity: Natural) -> PyResult<Self> {
        ring::EmbeddingRing::new(record_bytes.size()?, capacity.size()?).map(Self).map_err(raise)
    }

    #[getter]
    fn capacity(&self) -> usize {
        self.0.ring().capacity()
    }

    #[getter]
    fn record_bytes(&self) -> usize {
        self.0.ring().record_bytes()
    }

    #[getter]
    fn oldest(&self) -> u64 {
        self.0.ring().oldest()
    }

    #[getter]
    fn newest(&self) -> u64 {
        self.0.ring().newest()
    }

    fn push(&self, record: &Bound<'_, PyAny>, pts_ns: i64) -> PyResult<u64> {
        let buffer = PyUntypedBuffer::get(record)?;
        with_bytes(&buffer, record.py(), |bytes| self.0.push(bytes, Ns(pts_ns)))?.map_err(raise)
    }

    #[pyo3(signature = (start, stop, step = Natural(1)), text_signature = "($self, start, stop, step=1)")]
    fn window(
        &self,
        py: Python<'_>,
        start: Natural,
        stop: Natural,
        step: Natural,
    ) -> PyResult<Window> {
        let lease = self.0.window(start.0, stop.0, step.0).map_err(raise)?;
        Window::new(py, lease, &[self.record_bytes()])
    }

    fn stats(&self) -> RingStats {
        RingStats(self.0.stats())
    }

    fn __repr__(&self) -> String {
        let (ring, bytes) = (self.0.ring(), self.record_bytes());
        format!(
            "EmbeddingRing(record_bytes={bytes}, capacity={}, live={}..{})",
            ring.capacity(),
            ring.oldest(),
            ring.newest()
        )
    }
}
