//! Write access to a ring.

use std::sync::PoisonError;

use super::state::Obstacle;
use super::{End, Overflow, Shared};
use crate::error::{Error, Result};
use crate::sync::Arc;
use crate::time::Ns;

/// The one writer of a ring. Dropping it cancels the ring, unless [`Writer::finish`] gave another end.
///
/// ```
/// use dsb_core::{End, Error, Overflow, Ring};
///
/// let (writer, ring) = Ring::new(4096, 4, Overflow::Block)?;
/// drop(writer);
/// assert_eq!(ring.end(), Some(End::Cancelled));
/// assert_eq!(ring.wait(0, None), Err(Error::Closed));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Bytes of one record.
    pub fn record_bytes(&self) -> usize {
        self.shared.geometry.record
    }

    /// Room for the next `count` records, which all carry `pts`.
    ///
    /// With [`Overflow::Block`] waits until there is room. Fails with [`Error::Closed`] if the ring has ended,
    /// [`Error::Full`] if a lease pins what [`Overflow::DropOldest`] would overwrite, and [`Error::Invalid`] if
    /// `pts` decreases or `count` is 0 or more than the capacity.
    pub fn reserve(&mut self, count: usize, pts: Ns) -> Result<Slot<'_>> {
        let shared = &*self.shared;
        if !(1..=shared.geometry.capacity).contains(&count) {
            return Err(Error::invalid(format!(
                "cannot push {count} records at once into a ring of {}",
                shared.geometry.capacity
            )));
        }
        let mut state = shared.lock();
        if let Some(last) = state.last_pts().filter(|last| *last > pts) {
            return Err(Error::invalid(format!("time stamp {pts} follows {last}")));
        }
        loop {
            if state.end.is_some() {
                return Err(Error::Closed);
            }
            match (state.make_room(count as u64, shared.overflow), shared.overflow) {
                (Ok(()), _) => break,
                (Err(Obstacle::Pinned), Overflow::DropOldest) => {
                    return Err(
                        state.full("leases pin its oldest records; release windows earlier")
                    );
                }
                (Err(_), _) => {
                    state.writer_waits = true;
                    // A reader who waits for a record that cannot come must learn so.
                    shared.fresh.notify_all();
                    state = shared.space.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.writer_waits = false;
                }
            }
        }
        let first = state.newest();
        Ok(Slot { shared, first, count, pts })
    }

    /// Counts an incoming record that was thrown away.
    pub fn drop_incoming(&mut self) {
        self.shared.lock().drop_incoming();
    }

    /// Ends the ring and wakes everybody who waits for it.
    pub fn finish(self, end: End) {
        self.shared.close(end);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.close(End::Cancelled);
    }
}

/// Records that are being written. Dropping it without [`Slot::publish`] leaves no trace.
///
/// **Invariant**: its records lie outside the live ones and no lease covers their memory. It borrows the only
/// writer, so there is one slot at a time.
///
/// ```
/// use dsb_core::{Ns, Overflow, Ring};
///
/// let (mut writer, ring) = Ring::new(4096, 4, Overflow::Block)?;
/// drop(writer.reserve(1, Ns(5))?);
/// assert_eq!(ring.newest(), 0);
/// // Not even its time stamp is remembered.
/// assert_eq!(writer.reserve(1, Ns(3))?.publish(), Ok(0));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Slot<'writer> {
    shared: &'writer Shared,
    first: u64,
    count: usize,
    pts: Ns,
}

impl Slot<'_> {
    /// The bytes of the `index`-th record; they hold whatever was there before.
    ///
    /// # Panics
    /// If `index` is not below the reserved count.
    pub fn record_mut(&mut self, index: usize) -> &mut [u8] {
        assert!(index < self.count, "record {index} of {}", self.count);
        self.shared.watch.write(self.first + index as u64, 1);
        let start = self.shared.offset(self.first) + index * self.shared.geometry.stride;
        // SAFETY: `first` starts below `len()` of the mirror and `count <= capacity`, so the range lies in its two
        // halves. `reserve` has seen under the lock that no lease covers these records and that they are not live,
        // so none can be taken before `publish`; there is only this slot, and `&mut self` makes the slice unique.
        unsafe {
            let record = self.shared.memory.base().add(start).as_ptr();
            std::slice::from_raw_parts_mut(record, self.shared.geometry.record)
        }
    }

    /// Makes the records live in one step; returns the id of the first. [`Error::Closed`] if the ring has ended.
    pub fn publish(self) -> Result<u64> {
        let start = self.shared.offset(self.first);
        self.shared.watch.write(self.first, self.count as u64);
        // SAFETY: `self` is consumed, so no slice into the slot is left, and the images of its bytes in the other
        // half belong to the same records, which nobody can read before the next line.
        unsafe { self.shared.memory.sync(start, self.count * self.shared.geometry.stride) };
        let mut state = self.shared.lock();
        if state.end.is_some() {
            return Err(Error::Closed);
        }
        let first = state.publish(self.count as u64, self.pts);
        drop(state);
        self.shared.fresh.notify_all();
        Ok(first)
    }
}
