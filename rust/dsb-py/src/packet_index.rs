//! `PacketIndex` and `Pruning`.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;

use dsb_core::prune::{Index, Obstacle, Plan, PrunedInput};
use pyo3::prelude::*;

use crate::arguments::Fraction;
use crate::door::detached;

/// What the tables of a video file and the headers of its packets tell.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct PacketIndex {
    path: PathBuf,
    index: Result<Index, Obstacle>,
}

#[pymethods]
impl PacketIndex {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        detached(py, |_| {
            let file = File::open(&path).map_err(|_| Obstacle::Unreadable);
            let index = file.and_then(|file| Index::read(&file));
            Ok(Poll::Ready(Self { path: path.clone(), index }))
        })
    }

    #[getter]
    fn obstacle(&self) -> Option<&'static str> {
        self.index.as_ref().err().map(|obstacle| obstacle.name())
    }

    #[getter]
    fn reason(&self) -> Option<String> {
        self.index.as_ref().err().map(ToString::to_string)
    }

    #[pyo3(signature = (rate, *, start_us = 0, from_ns = 0))]
    fn prune(
        &self,
        py: Python<'_>,
        rate: Fraction,
        start_us: i64,
        from_ns: i64,
    ) -> PyResult<Pruning> {
        detached(py, |_| {
            let planned = self.index.as_ref().map_err(|obstacle| *obstacle).and_then(|index| {
                let plan = index.plan(rate.0, start_us, from_ns)?;
                let file = File::open(&self.path).map_err(|_| Obstacle::Unreadable)?;
                Ok((Arc::new(PrunedInput::new(file, index, &plan)?), plan))
            });
            Ok(Poll::Ready(Pruning(planned)))
        })
    }

    fn __repr__(&self) -> String {
        let obstacle = self.obstacle().map(|name| format!(", {name}")).unwrap_or_default();
        format!("PacketIndex({}{obstacle})", self.path.display())
    }
}

/// A file of which only the packets that some ticks need are decoded, or why it is decoded in full.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct Pruning(Result<(Arc<PrunedInput>, Plan), Obstacle>);

impl Pruning {
    /// What the decoder inherits; the error says what to do.
    pub(crate) fn input(&self) -> Result<Arc<PrunedInput>, &'static str> {
        let (input, _) =
            self.0.as_ref().map_err(|_| "this file is decoded in full: leave out pruned")?;
        Ok(Arc::clone(input))
    }

    fn plan(&self) -> Option<&Plan> {
        self.0.as_ref().ok().map(|(_, plan)| plan)
    }
}

#[pymethods]
impl Pruning {
    #[getter]
    fn obstacle(&self) -> Option<&'static str> {
        self.0.as_ref().err().map(|obstacle| obstacle.name())
    }

    #[getter]
    fn reason(&self) -> Option<String> {
        self.0.as_ref().err().map(ToString::to_string)
    }

    #[getter]
    fn url(&self) -> Option<String> {
        self.0.as_ref().ok().map(|(input, _)| input.url())
    }

    #[getter]
    fn packets(&self) -> usize {
        self.plan().map_or(0, |plan| plan.packets)
    }

    #[getter]
    fn kept(&self) -> usize {
        self.plan().map_or(0, |plan| plan.kept)
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.plan().map_or(0, |plan| plan.bytes)
    }

    #[getter]
    fn kept_bytes(&self) -> u64 {
        self.plan().map_or(0, |plan| plan.kept_bytes)
    }

    fn __repr__(&self) -> String {
        match &self.0 {
            Ok((_, plan)) => format!("Pruning({} of {} packets)", plan.kept, plan.packets),
            Err(obstacle) => format!("Pruning({})", obstacle.name()),
        }
    }
}
