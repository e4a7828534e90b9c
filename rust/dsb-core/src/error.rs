//! The one error type of the core.

use std::fmt;

use crate::time::Ns;

/// The result of every fallible function of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in the core.
///
/// A message names the cause, the place and the remedy, so the binding adds nothing to it. Errors are cheap to
/// clone: the one that ended a source is reported to every waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The decoder binary exists but could not be started.
    Spawn {
        /// Program that was to be started.
        exe: String,
        /// What the operating system said.
        what: String,
    },
    /// There is no decoder binary of this name.
    DecoderNotFound {
        /// Program that was to be started.
        exe: String,
    },
    /// A source cannot deliver frames at all: missing, unreadable, not a video, no video stream, no frame.
    Source {
        /// What the caller calls the source.
        name: String,
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// The decoder failed or reported damage.
    Decode {
        /// What the caller calls the source.
        name: String,
        /// What happened, with the remedy.
        what: String,
        /// Exit status of the decoder, negative for a signal, `None` if it was stopped by us.
        status: Option<i32>,
        /// Frames that were delivered before the failure.
        frames: u64,
        /// Time stamp of the last frame of which the decoder said nothing bad, `None` if there was none.
        after: Option<Ns>,
        /// The last lines that the decoder wrote.
        stderr: String,
    },
    /// The decoder wrote something that is not the expected NUT stream.
    Protocol {
        /// Byte of the stream at which the reader gave up.
        offset: u64,
        /// What is wrong there.
        what: String,
        /// Whether the stream simply stops there.
        truncated: bool,
        /// Frames that were delivered before it, 0 if only the reader has seen the error.
        frames: u64,
        /// Time stamp of the last frame before it, `None` if there was none or only the reader has seen the error.
        after: Option<Ns>,
        /// The last lines that the decoder wrote to standard error, empty if only the reader has seen the error.
        stderr: String,
    },
    /// A record was asked for after it had been given back or overwritten.
    Evicted {
        /// Id that was asked for.
        wanted: u64,
        /// Oldest id that is live.
        oldest: u64,
    },
    /// A record was asked for before it was published.
    NotReady {
        /// Id that was asked for.
        wanted: u64,
        /// Id that the next record will get.
        newest: u64,
    },
    /// A ring cannot take the records that somebody waits for or pushes.
    Full {
        /// Records that the ring holds.
        capacity: u64,
        /// What holds them.
        what: String,
    },
    /// The memory of a ring is not to be had.
    Memory {
        /// Bytes of the ring's records.
        bytes: u64,
        /// What the operating system said.
        what: String,
    },
    /// A ring was written by a process that was forked from the one that made it.
    Forked,
    /// The source was closed while, or before, somebody waited for it.
    Closed,
    /// A wait took longer than its limit.
    Timeout,
    /// A slot ledger was asked for something impossible.
    Ledger(String),
    /// An argument is out of its domain.
    Invalid(String),
    /// A system call failed.
    Os {
        /// Name of the call.
        call: &'static str,
        /// `errno`, 0 if unknown.
        code: i32,
    },
}

impl Error {
    /// An [`Error::Invalid`] with this message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// The error of the system call that has just failed.
    pub(crate) fn last_os(call: &'static str) -> Self {
        Self::os(call, &std::io::Error::last_os_error())
    }

    pub(crate) fn os(call: &'static str, error: &std::io::Error) -> Self {
        Self::Os { call, code: error.raw_os_error().unwrap_or(0) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn { exe, what } => write!(
                f,
                "cannot start the decoder `{exe}`: {what}; set DSB_FFMPEG to a working ffmpeg binary"
            ),
            Self::DecoderNotFound { exe } => write!(
                f,
                "no decoder `{exe}`; install ffmpeg 5.1 or newer (`pip install imageio-ffmpeg`) \
                 or set DSB_FFMPEG to its path"
            ),
            Self::Source { name, what, remedy } => write!(f, "{name}: {what}; {remedy}"),
            Self::Decode { name, what, frames, after, .. } => {
                write!(f, "{name}: {}: {what} (frames delivered before: {frames})", Place(*after))
            }
            Self::Protocol { offset, what, after, .. } => write!(
                f,
                "the decoder's output is not the expected NUT stream: {what} at byte {offset}{}; \
                 its arguments must end in `-c:v rawvideo -pix_fmt rgb24 -f nut pipe:1`",
                after.map_or_else(String::new, |after| format!(", {}", Place(Some(after))))
            ),
            Self::Evicted { wanted, oldest } => write!(
                f,
                "record {wanted} is gone, the oldest live one is {oldest}; \
                 ask earlier, release later or use a larger capacity"
            ),
            Self::NotReady { wanted, newest } => write!(
                f,
                "record {wanted} is not published yet, the next one is {newest}; wait for it first"
            ),
            Self::Full { capacity, what } => {
                write!(f, "the ring of {capacity} records is full: {what}")
            }
            // Rings live in memory files, so the limit on the size of files holds for them, too.
            Self::Memory { bytes, what } => write!(
                f,
                "no memory for a ring of {bytes} bytes: {what}; use a smaller capacity or smaller \
                 frames, or raise the limits of the process (`ulimit -f` and `ulimit -v`)"
            ),
            Self::Forked => write!(
                f,
                "this ring belongs to the process from which this one was forked; make a ring in \
                 each process, or start processes with `spawn`"
            ),
            Self::Closed => write!(f, "the source was closed; open it again to read more frames"),
            Self::Timeout => write!(f, "the wait took longer than its limit"),
            Self::Ledger(what) | Self::Invalid(what) => f.write_str(what),
            Self::Os { call, code } => {
                write!(f, "{call} failed: {}", std::io::Error::from_raw_os_error(*code))
            }
        }
    }
}

impl std::error::Error for Error {}

/// Where in the stream a decoder failed: after the last good frame.
struct Place(Option<Ns>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // In whole milliseconds, and never later than the frame.
            Some(Ns(ns)) => {
                let ms = ns.div_euclid(1_000_000);
                write!(f, "after {}.{:03} s", ms / 1000, ms.rem_euclid(1000))
            }
            None => f.write_str("before a frame was delivered"),
        }
    }
}
