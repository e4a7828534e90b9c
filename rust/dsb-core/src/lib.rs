//! The streaming core of `DualStreamBench`, free of Python.
//!
//! A decoder child process ([`source`]) writes frames with exact time stamps ([`nut`], [`time`]) into a ring of
//! fixed-size records ([`ring`], [`mirror`]); readers lease windows of it ([`window`]) without a copy. Beside the
//! data path stand the order of a session's events ([`schedule`], [`clock`]), the slots of a KV arena ([`ledger`]),
//! the simulation of queues before S1 and S2 ([`simulate`]) and resampling statistics ([`resample`]).
//!
//! Times are integer nanoseconds; there are no floats on the time axis. `unsafe` lives in [`mirror`] and [`ring`]
//! (memory that is written while other parts of it are read) and in `os` (system calls that `std` lacks).

pub mod clock;
pub mod error;
pub mod ledger;
pub mod mirror;
pub mod nut;
mod os;
pub mod prune;
pub mod resample;
pub mod ring;
pub mod schedule;
pub mod simulate;
pub mod source;
mod sync;
pub mod time;
pub mod window;

pub use error::{Error, Result};
pub use ring::{EmbeddingRing, End, Lease, Overflow, Ring, Stats};
pub use source::live::{Delay, Gap, Live, Timeline};
pub use source::{FrameSource, Opening, Options};
pub use time::{Ns, Rational, Span};
pub use window::{Selection, WindowSpec, select};
