//! `WindowSpec`, `select`.

use dsb_core::{Ns, window};
use pyo3::prelude::*;

use crate::arguments::{Fraction, Natural};
use crate::error::raise;

/// Which frames a system may look at for a query at t.
#[pyclass(frozen, eq, hash, module = "dsb._core")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct WindowSpec(pub(crate) window::WindowSpec);

#[pymethods]
impl WindowSpec {
    #[new]
    #[pyo3(signature = (*, max_frames, span_ns = None, rate = None))]
    fn new(max_frames: Natural, span_ns: Option<i64>, rate: Option<Fraction>) -> PyResult<Self> {
        let rate = rate.map(|rate| rate.0);
        window::WindowSpec::new(max_frames.size()?, span_ns.map(Ns), rate).map(Self).map_err(raise)
    }

    #[getter]
    fn max_frames(&self) -> usize {
        self.0.max_frames()
    }

    #[getter]
    fn span_ns(&self) -> Option<i64> {
        self.0.span().map(|span| span.0)
    }

    #[getter]
    fn rate(&self) -> Option<(u32, u32)> {
        self.0.rate().map(|rate| (rate.num(), rate.den()))
    }

    fn __repr__(&self) -> String {
        let span = self.span_ns().map_or_else(|| "None".to_owned(), |span| span.to_string());
        let rate = self.0.rate().map_or_else(|| "None".to_owned(), |rate| rate.to_string());
        format!("WindowSpec(max_frames={}, span_ns={span}, rate={rate})", self.max_frames())
    }
}

/// Positions in `pts_ns` that `spec` selects at `t_ns`, oldest first.
#[pyfunction]
pub(crate) fn select(
    spec: &Bound<'_, WindowSpec>,
    pts_ns: Vec<i64>,
    t_ns: i64,
) -> PyResult<Vec<u64>> {
    if let Some(i) = pts_ns.windows(2).position(|pair| pair[0] >= pair[1]) {
        let message =
            format!("pts_ns must increase strictly, but {} follows {}", pts_ns[i + 1], pts_ns[i]);
        return Err(raise(dsb_core::Error::invalid(message)));
    }
    let pts: Vec<Ns> = pts_ns.into_iter().map(Ns).collect();
    Ok(window::select(&spec.get().0, &pts, Ns(t_ns)).iter().collect())
}
