//! Which exception of `dsb.errors` each error of the core becomes.

use dsb_core::Error;
use pyo3::exceptions::{PyOSError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

/// The classes themselves live in Python, where they are documented, picklable and may have two bases.
mod classes {
    #![allow(clippy::doc_markdown, missing_docs)]
    use pyo3::import_exception;

    import_exception!(dsb.errors, DecodeError);
    import_exception!(dsb.errors, DecoderNotFound);
    import_exception!(dsb.errors, FrameEvicted);
    import_exception!(dsb.errors, FrameNotReady);
    import_exception!(dsb.errors, LedgerError);
    import_exception!(dsb.errors, ProtocolError);
    import_exception!(dsb.errors, RingForked);
    import_exception!(dsb.errors, RingFull);
    import_exception!(dsb.errors, RingMemoryError);
    import_exception!(dsb.errors, SourceError);
}
use classes::{
    DecodeError, DecoderNotFound, FrameEvicted, FrameNotReady, LedgerError, ProtocolError,
    RingForked, RingFull, RingMemoryError, SourceError,
};

/// The exception for `error`. Without a wildcard, so that a new variant does not compile until it has its class.
pub(crate) fn raise(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Spawn { .. } | Error::DecoderNotFound { .. } => DecoderNotFound::new_err(message),
        Error::Source { .. } | Error::Closed => SourceError::new_err(message),
        Error::Decode { status, stderr, frames, after, .. } => {
            let after_ns = after.map(|pts| pts.0);
            DecodeError::new_err((message, status, stderr, frames, after_ns))
        }
        Error::Protocol { stderr, frames, after, .. } => {
            let after_ns = after.map(|pts| pts.0);
            ProtocolError::new_err((message, None::<i32>, stderr, frames, after_ns))
        }
        Error::Evicted { .. } => FrameEvicted::new_err(message),
        Error::NotReady { .. } => FrameNotReady::new_err(message),
        Error::Full { .. } => RingFull::new_err(message),
        Error::Forked => RingForked::new_err(message),
        Error::Memory { .. } => RingMemoryError::new_err(message),
        Error::Timeout => PyTimeoutError::new_err(message),
        Error::Ledger(_) => LedgerError::new_err(message),
        Error::Invalid(_) => PyValueError::new_err(message),
        Error::Os { code, .. } => PyOSError::new_err((code, message)),
    }
}
