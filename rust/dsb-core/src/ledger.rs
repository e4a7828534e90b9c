//! Who holds which slot of a KV arena.
//!
//! The ledger plans, the owner of the tensors moves: `evict` returns the copies that keep the live slots
//! dense, so attention always runs over one slice and needs no validity mask.
#![allow(clippy::cast_possible_truncation)] // Every count of slots is at most `capacity`, which fits `Slot`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::error::{Error, Result};

/// A slot of the arena.
pub type Slot = u32;

/// Copy slot `source` to slot `destination`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// A slot that held a live entry at or above the new `used`.
    pub source: Slot,
    /// The hole below it that the entry now lives in.
    pub destination: Slot,
}

/// Where a live slot stands in the list of its holder.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Position in `holders`, or [`VACANT`].
    holder: u32,
    /// Position in the holder's `slots`.
    position: u32,
}

const VACANT: u32 = u32::MAX;

#[derive(Debug, Default)]
struct Holder {
    owner: u64,
    sink: bool,
    /// Number of owners that appended first before this one.
    rank: u64,
    /// In the order in which it got them.
    slots: Vec<Slot>,
}

/// The bookkeeping of one arena.
///
/// Invariants: the live slots are exactly `0..used`; each has one owner; `cells[s]` and the holder's `slots`
/// point at each other; a sink is never evicted. An owner whose last slot has gone is forgotten.
///
/// ```
/// use dsb_core::ledger::Ledger;
///
/// let mut ledger = Ledger::new(8)?;
/// assert_eq!(ledger.append(1, 3, false)?, 0..3);
/// assert_eq!(ledger.append(2, 2, false)?, 3..5);
/// assert_eq!(ledger.append(1, 1, false)?, 5..6);
/// assert_eq!(ledger.slots(1), [0, 1, 2, 5]);
/// // A call that fails has changed nothing.
/// assert!(ledger.append(3, 3, false).is_err());
/// assert_eq!((ledger.used(), ledger.owners()), (6, vec![1, 2]));
/// # Ok::<(), dsb_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Ledger {
    capacity: Slot,
    /// One per live slot.
    cells: Vec<Cell>,
    /// Positions are stable while a holder lives; free ones are in `spare`.
    holders: Vec<Holder>,
    spare: Vec<u32>,
    index: HashMap<u64, u32>,
    next_rank: u64,
    /// Evictions and rollbacks so far.
    epoch: u64,
    /// `(epoch, lowest slot touched)` of those changes that no later change reached below or at. Both columns
    /// ascend, so the first entry after a mark holds the lowest slot touched since; at most capacity + 1 entries.
    changes: Vec<(u64, Slot)>,
}

impl Ledger {
    /// An empty ledger of `capacity` slots.
    /// [`Error::Invalid`] if `capacity` is 0 or at least `u32::MAX`.
    pub fn new(capacity: u64) -> Result<Self> {
        let capacity = Slot::try_from(capacity).ok().filter(|&slots| 0 < slots && slots < VACANT);
        let Some(capacity) = capacity else {
            return Err(Error::Invalid(format!(
                "a ledger holds between 1 and {} slots",
                VACANT - 1
            )));
        };
        Ok(Self {
            capacity,
            cells: Vec::new(),
            holders: Vec::new(),
            spare: Vec::new(),
            index: HashMap::new(),
            next_rank: 0,
            epoch: 0,
            changes: Vec::new(),
        })
    }

    /// Slots of the arena.
    pub fn capacity(&self) -> Slot {
        self.capacity
    }

    /// Live slots; they are `0..used`.
    pub fn used(&self) -> Slot {
        self.cells.len() as Slot
    }

    /// Give `slots` slots at the tail to `owner`. An owner that gets no slot is not remembered.
    /// [`Error::Ledger`] if there is no room, or if `owner` already holds slots of the other kind.
    pub fn append(&mut self, owner: u64, slots: u64, sink: bool) -> Result<Range<Slot>> {
        let start = self.used();
        let free = self.capacity - start;
        let Some(count) = Slot::try_from(slots).ok().filter(|&count| count <= free) else {
            return Err(Error::Ledger(format!(
                "no room for {slots} slots of owner {owner}: {start} of {} are used; evict first",
                self.capacity
            )));
        };
        if count == 0 {
            return Ok(start..start);
        }
        let holder = self.hold(owner, sink)?;
        let held = &mut self.holders[holder as usize].slots;
        let position = held.len() as u32;
        held.extend(start..start + count);
        self.cells.extend((position..position + count).map(|position| Cell { holder, position }));
        Ok(start..start + count)
    }

    /// A point to return to with [`Ledger::rollback`].
    pub fn mark(&self) -> u64 {
        self.epoch * (u64::from(self.capacity) + 1) + u64::from(self.used())
    }

    /// Forget everything appended since `mark`.
    /// [`Error::Ledger`] if `mark` is not of this ledger, or if slots before it have changed since: an owner of
    /// them was evicted, or an earlier mark was returned to.
    ///
    /// ```
    /// use dsb_core::ledger::Ledger;
    ///
    /// let mut ledger = Ledger::new(8)?;
    /// ledger.append(1, 3, false)?;
    /// let mark = ledger.mark();
    /// for question in [100, 101] {
    ///     assert_eq!(ledger.append(question, 2, false)?, 3..5);
    ///     ledger.rollback(mark)?;
    ///     assert_eq!(ledger.owners(), [1]);
    /// }
    /// // The mark promised three slots of owner 1.
    /// ledger.evict(&[1])?;
    /// assert!(ledger.rollback(mark).is_err());
    /// # Ok::<(), dsb_core::Error>(())
    /// ```
    pub fn rollback(&mut self, mark: u64) -> Result<()> {
        let radix = u64::from(self.capacity) + 1;
        let (epoch, keep) = (mark / radix, (mark % radix) as Slot);
        if epoch > self.epoch {
            return Err(Error::Ledger(format!("{mark} is not a mark of this ledger")));
        }
        let first_later = self.changes.partition_point(|&(changed, _)| changed <= epoch);
        let lowest = self.changes.get(first_later).map_or(keep, |&(_, slot)| slot);
        if lowest < keep || self.used() < keep {
            return Err(Error::Ledger(format!(
                "stale mark: it kept {keep} slots, but slot {} has changed since",
                lowest.min(self.used())
            )));
        }
        if keep < self.used() {
            self.truncate(keep);
            self.note_change(keep);
        }
        Ok(())
    }

    /// Drop these owners; returns the moves that keep the live slots dense. Destinations ascend and are below the
    /// new `used`, sources ascend and are at or above it. An owner that is listed twice is dropped once.
    /// [`Error::Ledger`] if one of them holds no slots or is a sink; nothing has changed then.
    ///
    /// ```
    /// use dsb_core::ledger::{Ledger, Move};
    ///
    /// let mut ledger = Ledger::new(8)?;
    /// for owner in [1, 2, 3] {
    ///     ledger.append(owner, 2, false)?;
    /// }
    /// let moves = ledger.evict(&[1])?;
    /// assert_eq!(moves[0], Move { source: 4, destination: 0 });
    /// assert_eq!(moves[1], Move { source: 5, destination: 1 });
    /// assert_eq!(moves.len(), 2);
    /// assert_eq!((ledger.slots(2), ledger.slots(3)), (&[2, 3][..], &[0, 1][..]));
    /// assert_eq!(ledger.used(), 4);
    /// # Ok::<(), dsb_core::Error>(())
    /// ```
    pub fn evict(&mut self, owners: &[u64]) -> Result<Vec<Move>> {
        let victims = self.victims(owners)?;
        let mut freed = Vec::new();
        for victim in victims {
            freed.append(&mut self.holders[victim as usize].slots);
            self.forget(victim);
        }
        freed.sort_unstable();
        let Some(&lowest) = freed.first() else { return Ok(Vec::new()) };
        for &slot in &freed {
            self.cells[slot as usize].holder = VACANT;
        }
        let used = self.used() - freed.len() as Slot;
        let holes = freed.into_iter().take_while(|&slot| slot < used);
        let sources =
            (used..self.used()).filter(|&slot| self.cells[slot as usize].holder != VACANT);
        // As many live slots lie beyond the new tail as holes before it.
        let moves: Vec<Move> =
            sources.zip(holes).map(|(source, destination)| Move { source, destination }).collect();
        for &Move { source, destination } in &moves {
            let cell = self.cells[source as usize];
            self.cells[destination as usize] = cell;
            self.holders[cell.holder as usize].slots[cell.position as usize] = destination;
        }
        self.cells.truncate(used as usize);
        self.note_change(lowest);
        Ok(moves)
    }

    /// Slots of `owner` in the order in which it got them (empty if it holds none).
    pub fn slots(&self, owner: u64) -> &[Slot] {
        self.index.get(&owner).map_or(&[], |&holder| &self.holders[holder as usize].slots)
    }

    /// Owners in the order of their first append, sinks included.
    pub fn owners(&self) -> Vec<u64> {
        let mut holders: Vec<&Holder> =
            self.index.values().map(|&holder| &self.holders[holder as usize]).collect();
        holders.sort_unstable_by_key(|holder| holder.rank);
        holders.into_iter().map(|holder| holder.owner).collect()
    }

    /// Ascending slots of the sinks and of these owners. An owner that holds none adds none.
    ///
    /// ```
    /// use dsb_core::ledger::Ledger;
    ///
    /// let mut ledger = Ledger::new(8)?;
    /// ledger.append(0, 1, true)?; // a sink
    /// ledger.append(1, 2, false)?;
    /// ledger.append(2, 2, false)?;
    /// assert_eq!(ledger.visible(&[2, 9]), [0, 3, 4]);
    /// assert!(ledger.evict(&[0]).is_err());
    /// # Ok::<(), dsb_core::Error>(())
    /// ```
    pub fn visible(&self, owners: &[u64]) -> Vec<Slot> {
        let sinks =
            self.holders.iter().filter(|holder| holder.sink).flat_map(|holder| &holder.slots);
        let chosen = owners.iter().flat_map(|&owner| self.slots(owner));
        let mut slots: Vec<Slot> = sinks.chain(chosen).copied().collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// The holder of `owner`, made if there is none.
    fn hold(&mut self, owner: u64, sink: bool) -> Result<u32> {
        if let Some(&holder) = self.index.get(&owner) {
            if self.holders[holder as usize].sink == sink {
                return Ok(holder);
            }
            let (is, asked) = if sink { ("no sink", "sink") } else { ("a sink", "non-sink") };
            return Err(Error::Ledger(format!(
                "owner {owner} is {is} and cannot get {asked} slots"
            )));
        }
        let holder = self.spare.pop().unwrap_or_else(|| {
            self.holders.push(Holder::default());
            (self.holders.len() - 1) as u32
        });
        let slots = std::mem::take(&mut self.holders[holder as usize].slots);
        self.holders[holder as usize] = Holder { owner, sink, rank: self.next_rank, slots };
        self.next_rank += 1;
        self.index.insert(owner, holder);
        Ok(holder)
    }

    /// Remove a holder that has no slots any more.
    fn forget(&mut self, holder: u32) {
        let vacated = &mut self.holders[holder as usize];
        vacated.sink = false;
        self.index.remove(&vacated.owner);
        self.spare.push(holder);
    }

    fn victims(&self, owners: &[u64]) -> Result<HashSet<u32>> {
        let victim = |owner: &u64| {
            let Some(&holder) = self.index.get(owner) else {
                return Err(Error::Ledger(format!(
                    "cannot evict owner {owner}: it holds no slots"
                )));
            };
            if self.holders[holder as usize].sink {
                return Err(Error::Ledger(format!("cannot evict owner {owner}: it is a sink")));
            }
            Ok(holder)
        };
        owners.iter().map(victim).collect()
    }

    fn truncate(&mut self, keep: Slot) {
        // A holder got its slots beyond `keep` last, because none before it have changed since the mark.
        for cell in self.cells.split_off(keep as usize) {
            let holder = &mut self.holders[cell.holder as usize];
            holder.slots.pop();
            if holder.slots.is_empty() {
                self.forget(cell.holder);
            }
        }
    }

    fn note_change(&mut self, lowest: Slot) {
        self.epoch += 1;
        while self.changes.last().is_some_and(|&(_, slot)| slot >= lowest) {
            self.changes.pop();
        }
        self.changes.push((self.epoch, lowest));
    }
}
