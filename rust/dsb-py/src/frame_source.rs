//! `FrameSource`.

use std::task::Poll;
use std::time::Duration;

use dsb_core::Ns;
use dsb_core::ring::Overflow;
use dsb_core::source::live::{Live, Timeline};
use dsb_core::source::{self, Opening, Options, Pruned};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arguments::{Natural, Timeout};
use crate::door::detached;
use crate::error::raise;
use crate::frame_ring::FrameRing;
use crate::packet_index::Pruning;

/// A decoder child process that fills a ring of frames.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct FrameSource {
    source: source::FrameSource,
    frames: Py<FrameRing>,
}

#[pymethods]
impl FrameSource {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    #[pyo3(
        signature = (
            argv, *, name, capacity = Natural(64), overflow = "block", strict = true, pruned = None, stdin = false,
            live = false, reconnect_s = None
        ),
        text_signature = "(argv, *, name, capacity=64, overflow='block', strict=True, pruned=None, stdin=False, \
            live=False, reconnect_s=None)"
    )]
    fn new(
        py: Python<'_>,
        argv: Vec<String>,
        name: String,
        capacity: Natural,
        overflow: &str,
        strict: bool,
        pruned: Option<(Vec<String>, PyRef<'_, Pruning>)>,
        stdin: bool,
        live: bool,
        reconnect_s: Option<Timeout>,
    ) -> PyResult<Self> {
        let (capacity, overflow) = (capacity.size()?, overflow_of(overflow)?);
        let pruned = pruned.map(|(argv, pruning)| Ok(Pruned { argv, input: pruning.input()? }));
        let pruned = pruned.transpose().map_err(PyValueError::new_err::<&str>)?;
        let live = live.then(|| Live { reconnect: reconnect_s.map(|limit| limit.0) });
        let options = Options { argv, name, capacity, overflow, strict, pruned, stdin, live };
        let mut opening = Opening::start(options).map_err(raise)?;
        let opened = |slice| Ok(opening.wait(slice)?.map_or(Poll::Pending, Poll::Ready));
        let source = detached(py, opened)?;
        let frames = Py::new(py, FrameRing::new(source.frames().clone(), source.size()))?;
        Ok(Self { source, frames })
    }

    #[getter]
    fn frames(&self, py: Python<'_>) -> Py<FrameRing> {
        self.frames.clone_ref(py)
    }

    #[getter]
    fn size(&self) -> (u32, u32) {
        self.source.size()
    }

    #[getter]
    fn time_base(&self) -> (u32, u32) {
        (self.source.time_base().num(), self.source.time_base().den())
    }

    #[getter]
    fn now_ns(&self) -> PyResult<i64> {
        Ok(self.timeline()?.now().0)
    }

    #[getter]
    fn outage(&self) -> PyResult<Option<(i64, u32, String)>> {
        let outage = self.timeline()?.outage();
        Ok(outage.map(|(stamp, attempts, reason)| (stamp.0, attempts, reason)))
    }

    #[getter]
    fn gaps(&self) -> PyResult<Vec<(i64, i64, u32, String)>> {
        let gaps = self.timeline()?.gaps().into_iter();
        Ok(gaps.map(|gap| (gap.from.0, gap.to.0, gap.attempts, gap.reason)).collect())
    }

    fn mark_shown(&self, pts_ns: Vec<i64>) -> PyResult<()> {
        self.timeline()?.shown(&pts_ns.into_iter().map(Ns).collect::<Vec<_>>());
        Ok(())
    }

    fn delay_ns(&self, q: f64) -> PyResult<Option<(i64, Option<i64>)>> {
        let delay = self.timeline()?.delay(q);
        Ok(delay.map(|delay| (delay.to_ring.0, delay.to_window.map(|delay| delay.0))))
    }

    #[getter]
    fn decode_errors(&self) -> u64 {
        self.source.decode_errors()
    }

    #[getter]
    fn stderr(&self) -> String {
        self.source.stderr()
    }

    #[getter]
    fn pruned(&self) -> bool {
        self.source.is_pruned()
    }

    #[getter]
    fn pid(&self) -> u32 {
        self.source.pid()
    }

    #[getter]
    fn decode_wall_ns(&self) -> u64 {
        nanoseconds(self.source.decode_wall())
    }

    #[getter]
    fn decode_cpu_ns(&self) -> u64 {
        nanoseconds(self.source.decode_cpu())
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, |_| {
            self.source.close();
            Ok(Poll::Ready(()))
        })
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (*exc))]
    fn __exit__(&self, exc: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(exc.py())
    }

    fn __repr__(&self) -> String {
        let ((width, height), frames) = (self.size(), self.source.frames().newest());
        format!("FrameSource({width}x{height}, pid={}, frames={frames})", self.pid())
    }
}

impl FrameSource {
    fn timeline(&self) -> PyResult<&Timeline> {
        let message = "stream time of this source does not run; open it with live=True";
        self.source.timeline().ok_or_else(|| PyValueError::new_err(message))
    }
}

fn overflow_of(name: &str) -> PyResult<Overflow> {
    match name {
        "block" => Ok(Overflow::Block),
        "drop-oldest" => Ok(Overflow::DropOldest),
        _ => {
            let message = format!("overflow must be 'block' or 'drop-oldest', got {name:?}");
            Err(PyValueError::new_err(message))
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
