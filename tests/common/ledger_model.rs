//! A naive model of the slot ledger, and steps that are taken on both.

use std::collections::HashSet;

use dsb_core::ledger::{Ledger, Move, Slot};

/// Owners that the steps name: `0..OWNERS`.
pub(crate) const OWNERS: u64 = 6;

/// `(entry, owner, sink)` of each live slot.
type Slots = Vec<(u64, u64, bool)>;

/// An entry is a number that never changes; slots are positions in a list. Everything is found by looking.
#[derive(Clone, Debug)]
struct Model {
    capacity: u64,
    slots: Slots,
    next_entry: u64,
}

impl Model {
    fn owner(&self, owner: u64) -> Vec<Slot> {
        let mut held: Vec<(u64, Slot)> = (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.1 == owner)
            .map(|(position, slot)| (slot.0, position))
            .collect();
        held.sort_unstable();
        held.into_iter().map(|(_, position)| position).collect()
    }

    fn owners(&self) -> Vec<u64> {
        let mut by_entry = self.slots.clone();
        by_entry.sort_unstable();
        let mut seen = HashSet::new();
        by_entry.into_iter().map(|slot| slot.1).filter(|owner| seen.insert(*owner)).collect()
    }

    fn is_sink(&self, owner: u64) -> Option<bool> {
        self.slots.iter().find(|slot| slot.1 == owner).map(|slot| slot.2)
    }

    fn append(&mut self, owner: u64, count: u64, sink: bool) -> bool {
        let other_kind = count > 0 && self.is_sink(owner).is_some_and(|is| is != sink);
        if self.slots.len() as u64 + count > self.capacity || other_kind {
            return false;
        }
        for _ in 0..count {
            self.slots.push((self.next_entry, owner, sink));
            self.next_entry += 1;
        }
        true
    }

    fn can_evict(&self, owners: &[u64]) -> bool {
        owners.iter().all(|&owner| self.is_sink(owner) == Some(false))
    }

    /// What a tensor would hold after these moves.
    fn apply(&mut self, owners: &[u64], moves: &[Move]) {
        let live = self.slots.iter().filter(|slot| !owners.contains(&slot.1)).count();
        let before = self.slots.clone();
        for slot in moves {
            self.slots[slot.destination as usize] = before[slot.source as usize];
        }
        self.slots.truncate(live);
    }

    fn visible(&self, owners: &[u64]) -> Vec<Slot> {
        let seen = |slot: &(u64, u64, bool)| slot.2 || owners.contains(&slot.1);
        (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| seen(slot))
            .map(|(position, _)| position)
            .collect()
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Append {
        owner: u64,
        count: u64,
        sink: bool,
    },
    Evict(Vec<u64>),
    Mark,
    /// Return to one of the marks taken so far, counted round and round.
    Rollback(usize),
}

/// Takes the steps on a ledger of `capacity` slots and on the model.
///
/// # Panics
/// Where the two disagree.
pub(crate) fn play(capacity: u64, steps: impl IntoIterator<Item = Step>) {
    let mut ledger = Ledger::new(capacity).expect("a capacity");
    let mut model = Model { capacity, slots: Vec::new(), next_entry: 0 };
    let mut marks: Vec<(u64, Slots)> = Vec::new();
    for step in steps {
        match step {
            Step::Append { owner, count, sink } => {
                let start = ledger.used();
                let given = ledger.append(owner, count, sink);
                assert_eq!(given.is_ok(), model.append(owner, count, sink));
                assert!(given.is_err() || given == Ok(start..ledger.used()));
            }
            Step::Evict(owners) => {
                let moves = ledger.evict(&owners);
                assert_eq!(moves.is_ok(), model.can_evict(&owners));
                if let Ok(moves) = moves {
                    model.apply(&owners, &moves);
                    check_moves(&ledger, &moves);
                }
            }
            Step::Mark => marks.push((ledger.mark(), model.slots.clone())),
            Step::Rollback(_) if marks.is_empty() => {}
            Step::Rollback(which) => {
                let (mark, then) = &marks[which % marks.len()];
                // What stood before the mark must stand there still.
                let intact = model.slots.starts_with(then);
                assert_eq!(ledger.rollback(*mark).is_ok(), intact);
                if intact {
                    model.slots.truncate(then.len());
                }
            }
        }
        check_agreement(&ledger, &model);
    }
}

fn check_moves(ledger: &Ledger, moves: &[Move]) {
    let used = ledger.used();
    assert!(moves.iter().all(|slot| slot.destination < used && used <= slot.source));
    assert!(moves.windows(2).all(|pair| pair[0].source < pair[1].source));
    assert!(moves.windows(2).all(|pair| pair[0].destination < pair[1].destination));
}

fn check_agreement(ledger: &Ledger, model: &Model) {
    assert_eq!(ledger.used() as usize, model.slots.len());
    assert_eq!(ledger.owners(), model.owners());
    for owner in 0..OWNERS {
        assert_eq!(ledger.slots(owner), model.owner(owner));
    }
    assert_eq!(ledger.visible(&[]), model.visible(&[]));
    assert_eq!(ledger.visible(&[2, 4, 2]), model.visible(&[2, 4]));
}
