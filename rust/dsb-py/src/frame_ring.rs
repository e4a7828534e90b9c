//! `FrameRing`.

use dsb_core::Ns;
use dsb_core::ring::Ring;
use pyo3::prelude::*;

use crate::arguments::{Natural, Timeout};
use crate::door::waiting;
use crate::error::raise;
use crate::ring_stats::RingStats;
use crate::window::Window;
use crate::window_spec::WindowSpec;

/// The newest frames of a source.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct FrameRing {
    ring: Ring,
    /// Height, width, channels.
    shape: [usize; 3],
}

impl FrameRing {
    pub(crate) fn new(ring: Ring, (width, height): (u32, u32)) -> Self {
        Self { ring, shape: [height as usize, width as usize, 3] }
    }
}

#[pymethods]
impl FrameRing {
    #[getter]
    fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    #[getter]
    fn oldest(&self) -> u64 {
        self.ring.oldest()
    }

    #[getter]
    fn newest(&self) -> u64 {
        self.ring.newest()
    }

    #[getter]
    fn finished(&self) -> bool {
        self.ring.end().is_some()
    }

    #[pyo3(signature = (frame, timeout_s = None))]
    fn wait(&self, py: Python<'_>, frame: Natural, timeout_s: Option<Timeout>) -> PyResult<bool> {
        waiting(py, timeout_s, |limit| self.ring.wait(frame.0, Some(limit)))
    }

    #[pyo3(signature = (t_ns, timeout_s = None))]
    fn wait_until(&self, py: Python<'_>, t_ns: i64, timeout_s: Option<Timeout>) -> PyResult<u64> {
        waiting(py, timeout_s, |limit| self.ring.wait_until(Ns(t_ns), Some(limit)))
    }

    fn published_until(&self, t_ns: i64) -> u64 {
        self.ring.published_until(Ns(t_ns))
    }

    #[pyo3(signature = (start, stop, step = Natural(1)), text_signature = "($self, start, stop, step=1)")]
    fn window(
        &self,
        py: Python<'_>,
        start: Natural,
        stop: Natural,
        step: Natural,
    ) -> PyResult<Window> {
        let lease = self.ring.window(start.0, stop.0, step.0).map_err(raise)?;
        Window::new(py, lease, &self.shape)
    }

    #[pyo3(signature = (t_ns, spec, stop = None))]
    fn at(
        &self,
        py: Python<'_>,
        t_ns: i64,
        spec: &Bound<'_, WindowSpec>,
        stop: Option<Natural>,
    ) -> PyResult<Window> {
        let stop = stop.map_or(u64::MAX, |stop| stop.0);
        Window::new(py, self.ring.at_before(Ns(t_ns), &spec.get().0, stop), &self.shape)
    }

    fn release_before(&self, frame: Natural) {
        self.ring.release_before(frame.0);
    }

    fn stats(&self) -> RingStats {
        RingStats(self.ring.stats())
    }

    fn __repr__(&self) -> String {
        let (ring, [height, width, _]) = (&self.ring, self.shape);
        format!(
            "FrameRing({width}x{height}, capacity={}, live={}..{})",
            ring.capacity(),
            ring.oldest(),
            ring.newest()
        )
    }
}
