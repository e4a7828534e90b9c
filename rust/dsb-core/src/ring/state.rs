//! The bookkeeping of a ring: who may read and write which record. No memory is touched here.

use std::collections::{BTreeMap, TryReserveError};

use super::{End, Overflow, Stats};
use crate::error::{Error, Result};
use crate::time::Ns;
use crate::window::Selection;

/// **Invariants**: `newest <= released + capacity`; a pin covers published records and no record at or after the
/// first pinned id is overwritten; `pts` holds the time stamps of the last `capacity + 1` records.
#[derive(Debug)]
pub(super) struct State {
    capacity: u64,
    newest: u64,
    /// Everything before this id has been given back. May lie ahead of `newest`.
    released: u64,
    /// First and one-past-last id of the live leases, with their number.
    pins: BTreeMap<(u64, u64), usize>,
    pts: PtsRing,
    dropped: u64,
    /// Whether the writer waits for `release_before` or for a lease.
    pub(super) writer_waits: bool,
    pub(super) end: Option<End>,
}

/// What stands in the way of a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A lease pins a record that would be overwritten.
    Pinned,
    /// The reader has not released it.
    Unreleased,
}

impl State {
    pub(super) fn new(capacity: usize) -> Result<Self, TryReserveError> {
        Ok(Self {
            capacity: capacity as u64,
            newest: 0,
            released: 0,
            pins: BTreeMap::new(),
            // One more than is live: the last record before the live ones bounds what `count_until` knows.
            pts: PtsRing::new(capacity + 1)?,
            dropped: 0,
            writer_waits: false,
            end: None,
        })
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn oldest(&self) -> u64 {
        self.released.min(self.newest)
    }

    pub(super) fn last_pts(&self) -> Option<Ns> {
        Some(self.pts_of(self.newest.checked_sub(1)?))
    }

    pub(super) fn pts_of(&self, id: u64) -> Ns {
        self.pts.run(id, 1)[0]
    }

    pub(super) fn live_pts(&self) -> &[Ns] {
        self.pts.run(self.oldest(), self.newest - self.oldest())
    }

    /// Number of records with `pts <= t` since the start, if the live ones tell.
    pub(super) fn count_until(&self, t: Ns) -> Result<u64> {
        let oldest = self.oldest();
        let live = self.live_pts().partition_point(|pts| *pts <= t) as u64;
        match oldest.checked_sub(1) {
            Some(gone) if live == 0 && self.pts_of(gone) > t => {
                Err(Error::Evicted { wanted: gone, oldest })
            }
            _ => Ok(oldest + live),
        }
    }

    pub(super) fn check_live(&self, ids: &Selection) -> Result<()> {
        let (Some(first), Some(last)) = (ids.get(0), ids.iter().next_back()) else {
            return Ok(());
        };
        if first < self.oldest() {
            return Err(Error::Evicted { wanted: first, oldest: self.oldest() });
        }
        if last >= self.newest {
            return Err(Error::NotReady { wanted: last, newest: self.newest });
        }
        Ok(())
    }

    pub(super) fn release_before(&mut self, id: u64) {
        self.released = self.released.max(id);
    }

    /// Makes room for `count <= capacity` records, or says what is in the way.
    pub(super) fn make_room(&mut self, count: u64, overflow: Overflow) -> Result<(), Obstacle> {
        let overwritten = (self.newest + count).saturating_sub(self.capacity);
        if self.pins.first_key_value().is_some_and(|(&(first, _), _)| first < overwritten) {
            return Err(Obstacle::Pinned);
        }
        if overwritten > self.released {
            match overflow {
                Overflow::Block => return Err(Obstacle::Unreleased),
                Overflow::DropOldest => self.released = overwritten,
            }
        }
        Ok(())
    }

    /// Whether nothing can come before the reader calls `release_before`.
    pub(super) fn starved(&self) -> bool {
        self.writer_waits && self.newest >= self.released.saturating_add(self.capacity)
    }

    pub(super) fn publish(&mut self, count: u64, pts: Ns) -> u64 {
        let first = self.newest;
        (first..first + count).for_each(|id| self.pts.set(id, pts));
        self.newest += count;
        first
    }

    pub(super) fn drop_incoming(&mut self) {
        self.dropped += 1;
    }

    pub(super) fn pin(&mut self, ids: &Selection) {
        if let Some(range) = covered(ids) {
            *self.pins.entry(range).or_default() += 1;
        }
    }

    pub(super) fn unpin(&mut self, ids: &Selection) {
        let Some(range) = covered(ids) else { return };
        if let Some(leases) = self.pins.get_mut(&range) {
            *leases -= 1;
            if *leases == 0 {
                self.pins.remove(&range);
            }
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let (mut pinned, mut end) = (0, 0);
        for &(lo, hi) in self.pins.keys() {
            pinned += hi.saturating_sub(lo.max(end));
            end = end.max(hi);
        }
        Stats { pushed: self.newest, evicted: self.oldest(), dropped: self.dropped, pinned }
    }

    pub(super) fn full(&self, what: &str) -> Error {
        Error::Full { capacity: self.capacity, what: what.to_owned() }
    }
}

/// From the first to one past the last id.
fn covered(ids: &Selection) -> Option<(u64, u64)> {
    Some((ids.get(0)?, ids.iter().next_back()? + 1))
}

/// The time stamps of the last `len` records, stored twice so that every run of them is one slice.
#[derive(Debug)]
struct PtsRing {
    twice: Box<[Ns]>,
}

impl PtsRing {
    /// Fails where `vec!` would end the process.
    fn new(len: usize) -> Result<Self, TryReserveError> {
        let mut twice = Vec::new();
        twice.try_reserve_exact(2 * len)?;
        twice.resize(2 * len, Ns::ZERO);
        Ok(Self { twice: twice.into() })
    }

    fn position(&self, id: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "below a usize")]
        let position = (id % (self.twice.len() as u64 / 2)) as usize;
        position
    }

    fn set(&mut self, id: u64, pts: Ns) {
        let position = self.position(id);
        self.twice[position] = pts;
        self.twice[position + self.twice.len() / 2] = pts;
    }

    /// The time stamps of `count` records from `id` on.
    fn run(&self, id: u64, count: u64) -> &[Ns] {
        let position = self.position(id);
        #[expect(clippy::cast_possible_truncation, reason = "at most the ring's length")]
        &self.twice[position..position + count as usize]
    }
}
