//! The ring that a caller fills with embeddings.

use std::process;
use std::sync::PoisonError;

use super::{Lease, Overflow, Ring, Stats, Writer};
use crate::error::{Error, Result};
use crate::sync::Mutex;
use crate::time::Ns;

/// A ring of fixed-size records, one per temporal patch (tokens x dimension x item size bytes).
///
/// Pushing overwrites the oldest records and fails if a lease pins one of those; safe to use from several threads.
#[derive(Debug)]
pub struct EmbeddingRing {
    ring: Ring,
    writer: Mutex<Writer>,
    /// The process that made it.
    owner: u32,
}

impl EmbeddingRing {
    /// A ring of at least `capacity` records of `record_bytes`.
    pub fn new(record_bytes: usize, capacity: usize) -> Result<Self> {
        let (writer, ring) = Ring::new(record_bytes, capacity, Overflow::DropOldest)?;
        Ok(Self { ring, writer: Mutex::new(writer), owner: process::id() })
    }

    /// Copies one or more whole records in, all or none; returns the id of the first.
    ///
    /// [`Error::Full`] if leases pin the records that would make room, [`Error::Invalid`] if `records` is not a
    /// whole number of records, holds more than the ring does, or if `pts` decreases, [`Error::Forked`] in a process
    /// that was forked from the ring's own: it shares the memory, but has a copy of the books.
    ///
    /// ```
    /// use dsb_core::{EmbeddingRing, Ns};
    ///
    /// let ring = EmbeddingRing::new(4096, 4)?;
    /// assert_eq!(ring.push(&[7; 2 * 4096], Ns(0)), Ok(0));
    /// assert!(ring.push(&[7; 4096 + 1], Ns(1)).is_err());
    /// assert_eq!(ring.push(&[7; 4096], Ns(0)), Ok(2));
    /// # Ok::<(), dsb_core::Error>(())
    /// ```
    pub fn push(&self, records: &[u8], pts: Ns) -> Result<u64> {
        // Before the lock, which another thread may have held when the process was forked.
        if process::id() != self.owner {
            return Err(Error::Forked);
        }
        let record_bytes = self.ring.record_bytes();
        let (records, rest) = (records.chunks_exact(record_bytes), records.len() % record_bytes);
        if rest != 0 {
            return Err(Error::invalid(format!(
                "pushed bytes must be whole records of {record_bytes} bytes, {rest} are left over"
            )));
        }
        // A panic in between leaves the slot unpublished and the writer as it was.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slot = writer.reserve(records.len(), pts)?;
        for (index, record) in records.enumerate() {
            slot.record_mut(index).copy_from_slice(record);
        }
        slot.publish()
    }

    /// The readers' side.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Leases records `start, start + step, ... < stop`; fails like [`Ring::window`].
    pub fn window(&self, start: u64, stop: u64, step: u64) -> Result<Lease> {
        self.ring.window(start, stop, step)
    }

    /// Counters since the ring was made.
    pub fn stats(&self) -> Stats {
        self.ring.stats()
    }
}
