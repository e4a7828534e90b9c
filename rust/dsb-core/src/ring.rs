//! A ring of fixed-size records with one writer and any number of readers.
//!
//! Records are named by ids that count up from 0 and are never re-used; a stale id is an error, never another
//! record. Any run of live records is one slice, also across the seam, because the memory is mirrored
//! ([`Mirror`]). Readers take a [`Lease`], which copies nothing and pins its records; the writer fills a [`Slot`]
//! that no lease can cover and publishes it under the lock, so a torn record cannot be observed.
//!
//! The lock is held for bookkeeping only, never while bytes move: well below a microsecond per record, against
//! frames that come milliseconds apart.
#![allow(unsafe_code, reason = "writer and readers share memory; every block argues its safety")]

mod embedding;
mod geometry;
mod lease;
mod state;
mod watch;
mod writer;

use std::sync::PoisonError;
use std::time::{Duration, Instant};

pub use embedding::EmbeddingRing;
pub use geometry::Geometry;
pub use lease::Lease;
use state::State;
use watch::Watch;
pub use writer::{Slot, Writer};

use crate::error::{Error, Result};
use crate::mirror::Mirror;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};
use crate::time::Ns;
use crate::window::{Selection, WindowSpec, select};

/// What the writer does when the ring is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It waits until [`Ring::release_before`] gives the oldest record back and no lease pins it.
    Block,
    /// It overwrites the oldest record; if a lease pins that one, the incoming record cannot be taken.
    DropOldest,
}

/// Why no further record will come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The source ended; every record was published.
    Eof,
    /// The source failed after the last published record.
    Failed(Error),
    /// Somebody closed the source.
    Cancelled,
}

/// Counters of a ring since it was made. `pushed - evicted` records are live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that were published.
    pub pushed: u64,
    /// Records that were given back or overwritten.
    pub evicted: u64,
    /// Incoming records that were thrown away because a lease pinned the oldest one.
    pub dropped: u64,
    /// Records that leases pin now.
    pub pinned: u64,
}

/// The readers' handle on a ring; clones share it.
///
/// **Invariants**
/// 1. `oldest <= newest <= oldest + capacity`; ids `[oldest, newest)` are live.
/// 2. The writer writes only records outside `[oldest, newest)` whose memory no lease covers.
/// 3. A record becomes live in one step, under the lock, after its bytes are complete.
/// 4. With [`Overflow::Block`] a record stays live until [`Ring::release_before`] passes it; what is live then
///    depends on the reader alone and not on the speed of the writer.
/// 5. Time stamps never decrease.
///
/// An id names the same record for ever, and a run of live records is one slice, across the seam, too:
///
/// ```
/// use dsb_core::{Error, Ns, Overflow, Ring};
///
/// let (mut writer, ring) = Ring::new(4096, 4, Overflow::DropOldest)?;
/// let capacity = ring.capacity() as u64; // 4, or more where pages of memory are larger
/// for id in 0..=capacity {
///     let mut slot = writer.reserve(1, Ns(0))?;
///     slot.record_mut(0).fill(id as u8);
///     assert_eq!(slot.publish()?, id);
/// }
/// assert_eq!(ring.window(0, 2, 1).err(), Some(Error::Evicted { wanted: 0, oldest: 1 }));
///
/// let lease = ring.window(1, capacity + 1, 1)?;
/// let bytes = lease.contiguous().unwrap_or_default();
/// assert_eq!(bytes.len(), 4096 * ring.capacity());
/// assert_eq!((bytes[0], bytes[bytes.len() - 1]), (1, capacity as u8));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ring {
    shared: Arc<Shared>,
}

/// What the handles, the writer and the leases of one ring share.
#[derive(Debug)]
struct Shared {
    memory: Mirror,
    watch: Watch,
    geometry: Geometry,
    overflow: Overflow,
    state: Mutex<State>,
    /// The writer waits here for room.
    space: Condvar,
    /// Readers wait here for records and for the end.
    fresh: Condvar,
}

impl Ring {
    /// A ring of at least `capacity` records and its only writer.
    ///
    /// [`Error::Invalid`] if no such ring can exist, [`Error::Memory`] if the system does not give its memory.
    pub fn new(record_bytes: usize, capacity: usize, overflow: Overflow) -> Result<(Writer, Self)> {
        let geometry = Geometry::plan(record_bytes, capacity, Mirror::granularity())?;
        let bytes = geometry.stride * geometry.capacity;
        let no_memory = |what: String| Error::Memory { bytes: bytes as u64, what };
        let memory = Mirror::new(bytes).map_err(|error| no_memory(error.to_string()))?;
        let state = State::new(geometry.capacity).map_err(|error| no_memory(error.to_string()))?;
        let shared = Arc::new(Shared {
            memory,
            watch: Watch::new(geometry.capacity),
            geometry,
            overflow,
            state: Mutex::new(state),
            space: Condvar::new(),
            fresh: Condvar::new(),
        });
        Ok((Writer::new(Arc::clone(&shared)), Self { shared }))
    }

    /// Records it holds: at least as many as asked for.
    pub fn capacity(&self) -> usize {
        self.shared.geometry.capacity
    }

    /// Bytes of one record.
    pub fn record_bytes(&self) -> usize {
        self.shared.geometry.record
    }

    /// Id of the oldest live record; equals [`Ring::newest`] if none is live.
    pub fn oldest(&self) -> u64 {
        self.shared.lock().oldest()
    }

    /// Id that the next record will get.
    pub fn newest(&self) -> u64 {
        self.shared.lock().newest()
    }

    /// Why no further record will come; `None` while the source runs.
    pub fn end(&self) -> Option<End> {
        self.shared.lock().end.clone()
    }

    /// Counters since the ring was made.
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats()
    }

    /// Waits until record `id` is published (`true`) or the source ended before it (`false`).
    ///
    /// Fails with the source's own error if that failed before `id`, with [`Error::Closed`],
    /// [`Error::Timeout`], or [`Error::Full`] if the writer cannot go on before the reader releases records.
    pub fn wait(&self, id: u64, timeout: Option<Duration>) -> Result<bool> {
        self.shared
            .wait_for(timeout, |state| (id < state.newest()).then_some(true))
            .map(|known| known.unwrap_or_else(|state| id < state.newest()))
    }

    /// Waits until every record with `pts <= t` is published; returns their number since the start.
    ///
    /// That is known only when a later record or the end has been seen. Fails like [`Ring::wait`], and with
    /// [`Error::Evicted`] if the record at `t` is so far behind that the number is forgotten.
    ///
    /// ```
    /// use std::time::Duration;
    /// use dsb_core::{End, Error, Ns, Overflow, Ring};
    ///
    /// let (mut writer, ring) = Ring::new(4096, 4, Overflow::Block)?;
    /// writer.reserve(1, Ns(0))?.publish()?;
    /// // The next record might still be one of those at or before 5 ns.
    /// assert_eq!(ring.wait_until(Ns(5), Some(Duration::ZERO)), Err(Error::Timeout));
    /// writer.reserve(1, Ns(10))?.publish()?;
    /// assert_eq!(ring.wait_until(Ns(5), None), Ok(1));
    /// writer.finish(End::Eof);
    /// assert_eq!(ring.wait_until(Ns(99), None), Ok(2));
    /// # Ok::<(), dsb_core::Error>(())
    /// ```
    pub fn wait_until(&self, t: Ns, timeout: Option<Duration>) -> Result<u64> {
        let later =
            |state: &State| state.last_pts().filter(|last| *last > t).map(|_| state.count_until(t));
        self.shared.wait_for(timeout, later)?.unwrap_or_else(|state| state.count_until(t))
    }

    /// Number of records with `pts <= t` that have been published by now, those that are gone included.
    ///
    /// For live sources, where the present does not wait: a record that is still on its way is not counted.
    pub fn published_until(&self, t: Ns) -> u64 {
        let state = self.shared.lock();
        state.oldest() + state.live_pts().partition_point(|pts| *pts <= t) as u64
    }

    /// Leases records `start, start + step, ... < stop`.
    ///
    /// [`Error::Evicted`] or [`Error::NotReady`] if one of them is not live, [`Error::Invalid`] if `step` is 0
    /// or `start > stop`.
    pub fn window(&self, start: u64, stop: u64, step: u64) -> Result<Lease> {
        let ids = Selection::range(start, stop, step)?;
        let mut state = self.shared.lock();
        state.check_live(&ids)?;
        Ok(self.lease(&mut state, ids))
    }

    /// Leases what `spec` selects at `t` among the live records; never a record with `pts > t`.
    ///
    /// Does not wait: call [`Ring::wait_until`] first.
    pub fn at(&self, t: Ns, spec: &WindowSpec) -> Lease {
        self.at_before(t, spec, u64::MAX)
    }

    /// Like [`Ring::at`], but never a record with an id of `stop` or above: several windows of one moment hold the
    /// same records, whatever was published between them.
    ///
    /// ```
    /// use dsb_core::{EmbeddingRing, Ns, WindowSpec};
    ///
    /// let ring = EmbeddingRing::new(4096, 4)?;
    /// for t in [0, 10, 20] {
    ///     ring.push(&[0; 4096], Ns(t))?;
    /// }
    /// let all = WindowSpec::new(8, None, None)?;
    /// assert_eq!(ring.ring().at(Ns(19), &all).pts(), [Ns(0), Ns(10)]);
    /// assert_eq!(ring.ring().at(Ns(20), &all).pts(), [Ns(0), Ns(10), Ns(20)]);
    /// assert_eq!(ring.ring().at_before(Ns(20), &all, 1).pts(), [Ns(0)]);
    /// # Ok::<(), dsb_core::Error>(())
    /// ```
    pub fn at_before(&self, t: Ns, spec: &WindowSpec, stop: u64) -> Lease {
        let mut state = self.shared.lock();
        let live = state.live_pts();
        let known = usize::try_from(stop.saturating_sub(state.oldest())).unwrap_or(usize::MAX);
        let ids = select(spec, &live[..live.len().min(known)], t).offset(state.oldest());
        self.lease(&mut state, ids)
    }

    fn lease(&self, state: &mut State, ids: Selection) -> Lease {
        let pts = ids.iter().map(|id| state.pts_of(id)).collect();
        state.pin(&ids);
        Lease::of_pinned(Arc::clone(&self.shared), ids, pts)
    }

    /// Gives every record before `id` back, also those that are still to come.
    ///
    /// With [`Overflow::Block`] nothing else makes room:
    ///
    /// ```
    /// use dsb_core::{Error, Ns, Overflow, Ring};
    ///
    /// let (mut writer, ring) = Ring::new(4096, 4, Overflow::Block)?;
    /// let capacity = ring.capacity() as u64;
    /// let writing = std::thread::spawn(move || -> dsb_core::Result<()> {
    ///     (0..=capacity).try_for_each(|_| writer.reserve(1, Ns(0))?.publish().map(drop))
    /// });
    /// assert!(matches!(ring.wait(capacity, None), Err(Error::Full { .. })));
    /// assert_eq!(ring.oldest(), 0);
    /// ring.release_before(1);
    /// assert_eq!(ring.wait(capacity, None), Ok(true));
    /// assert_eq!(ring.oldest(), 1);
    /// # writing.join().unwrap()?;
    /// # Ok::<(), dsb_core::Error>(())
    /// ```
    pub fn release_before(&self, id: u64) {
        self.shared.lock().release_before(id);
        self.shared.space.notify_all();
    }

    /// Ends the ring, unless it has ended, and wakes everybody who waits for it.
    pub fn close(&self, end: End) {
        self.shared.close(end);
    }
}

impl Shared {
    /// A panic while the lock is held cannot leave the state half changed: its methods change it only after
    /// their last fallible step. So a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `known` has an answer or the source has ended well; then the state decides.
    fn wait_for<T>(
        &self,
        timeout: Option<Duration>,
        known: impl Fn(&State) -> Option<T>,
    ) -> Result<Result<T, MutexGuard<'_, State>>> {
        // A limit beyond the representable future is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        loop {
            if let Some(answer) = known(&state) {
                return Ok(Ok(answer));
            }
            match &state.end {
                Some(End::Eof) => return Ok(Err(state)),
                Some(End::Failed(error)) => return Err(error.clone()),
                Some(End::Cancelled) => return Err(Error::Closed),
                None => {}
            }
            if state.starved() {
                return Err(state.full("the source waits for release_before; release, then wait"));
            }
            state = match deadline {
                None => self.fresh.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Error::Timeout);
                    }
                    self.fresh.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn close(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.fresh.notify_all();
        self.space.notify_all();
    }

    fn pin_again(&self, ids: &Selection) {
        self.lock().pin(ids);
    }

    fn unpin(&self, ids: &Selection) {
        self.lock().unpin(ids);
        self.space.notify_all();
    }

    /// Byte of the first half at which record `id` starts.
    fn offset(&self, id: u64) -> usize {
        // The remainder is below the capacity, which is a usize.
        #[expect(clippy::cast_possible_truncation, reason = "below a usize")]
        let position = (id % self.geometry.capacity as u64) as usize;
        position * self.geometry.stride
    }
}

/// The bytes from the start of record `id` to the end of the record `count - 1` later, for as long as the lease
/// that covers them.
fn bytes_of<'lease>(
    _proof: &'lease Lease,
    shared: &'lease Shared,
    id: u64,
    count: u64,
) -> &'lease [u8] {
    let geometry = &shared.geometry;
    debug_assert!(1 <= count && count <= geometry.capacity as u64);
    #[expect(clippy::cast_possible_truncation, reason = "at most the capacity, a usize")]
    let len = (count as usize - 1) * geometry.stride + geometry.record;
    shared.watch.read(id, count);
    // SAFETY: the range starts below `len()` of the mirror and is at most `len()` long, so it lies in its two
    // halves. The lease pins these records: they were published, hence initialised, under the lock that the
    // lease then took, and the writer keeps off until the lease is dropped, which outlives the slice.
    unsafe { std::slice::from_raw_parts(shared.memory.base().add(shared.offset(id)).as_ptr(), len) }
}
