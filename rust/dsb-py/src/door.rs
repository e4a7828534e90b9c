//! The one door through which long calls leave the interpreter.

use std::task::Poll;
use std::time::{Duration, Instant};

use dsb_core::Error;
use pyo3::prelude::*;

use crate::arguments::Timeout;
use crate::error::raise;

/// For so long a wait does not look for Ctrl-C. Steps that work decide themselves how much they do at once.
const SLICE: Duration = Duration::from_millis(50);

/// Calls `step` with the interpreter released until it is ready, and maps its error.
///
/// `step` gets the time for which it may wait before it must return `Pending`; between two calls Ctrl-C and other
/// signals are served.
pub(crate) fn detached<T, F>(py: Python<'_>, mut step: F) -> PyResult<T>
where
    T: Send,
    F: FnMut(Duration) -> dsb_core::Result<Poll<T>> + Send,
{
    loop {
        match py.detach(|| step(SLICE)).map_err(raise)? {
            Poll::Ready(value) => return Ok(value),
            Poll::Pending => py.check_signals()?,
        }
    }
}

/// Calls `wait`, which fails with [`Error::Timeout`] after the time that it is given, until it has an answer or the
/// caller's own limit is over.
pub(crate) fn waiting<T, F>(py: Python<'_>, limit: Option<Timeout>, mut wait: F) -> PyResult<T>
where
    T: Send,
    F: FnMut(Duration) -> dsb_core::Result<T> + Send,
{
    // A limit beyond the representable future is none.
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit.0));
    let left = || {
        deadline
            .map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    };
    detached(py, move |slice| match wait(slice.min(left())) {
        Err(Error::Timeout) if !left().is_zero() => Ok(Poll::Pending),
        answer => answer.map(Poll::Ready),
    })
}
