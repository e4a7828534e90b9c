//! The one door through which long calls leave the interpreter.

use std::task::Poll;
use std::time::Duration;

use pyo3::prelude::*;

use crate::error::raise;

/// The longest time for which a pressed Ctrl-C goes unseen.
const SLICE: Duration = Duration::from_millis(50);

/// Calls `step` with the interpreter released until it is ready, and maps its error.
///
/// `step` gets the time for which it may wait or work before it must return `Pending`; between two calls Ctrl-C and
/// other signals are served.
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
