//! The slot ledger against a naive model.
#![allow(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "test values are small and exact, and a test may panic"
)]

use std::collections::HashSet;

use dsb_core::Error;
use dsb_core::ledger::{Ledger, Move, Slot};
use proptest::prelude::*;

const CAPACITY: u64 = 24;

/// `(entry, owner, sink)` of each live slot.
type Slots = Vec<(u64, u64, bool)>;

/// An entry is a number that never changes; slots are positions in a list. Everything is found by looking.
#[derive(Clone, Debug, Default)]
struct Model {
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
        if self.slots.len() as u64 + count > CAPACITY || other_kind {
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
enum Step {
    Append {
        owner: u64,
        count: u64,
        sink: bool,
    },
    Evict(Vec<u64>),
    Mark,
    /// Return to one of the marks taken so far.
    Rollback(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let owner = 0_u64..6;
    prop_oneof![
        4 => (owner.clone(), 0_u64..6, prop::bool::weighted(0.15))
            .prop_map(|(owner, count, sink)| Step::Append { owner, count, sink }),
        2 => prop::collection::vec(owner, 0..3).prop_map(Step::Evict),
        2 => Just(Step::Mark),
        2 => any::<prop::sample::Index>().prop_map(Step::Rollback),
    ]
}

fn check_moves(ledger: &Ledger, moves: &[Move]) -> Result<(), TestCaseError> {
    let used = ledger.used();
    prop_assert!(moves.iter().all(|slot| slot.destination < used && used <= slot.source));
    prop_assert!(moves.windows(2).all(|pair| pair[0].source < pair[1].source));
    prop_assert!(moves.windows(2).all(|pair| pair[0].destination < pair[1].destination));
    Ok(())
}

fn check_agreement(ledger: &Ledger, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(ledger.used() as usize, model.slots.len());
    prop_assert_eq!(ledger.owners(), model.owners());
    for owner in 0..6 {
        prop_assert_eq!(ledger.slots(owner), model.owner(owner));
    }
    prop_assert_eq!(ledger.visible(&[]), model.visible(&[]));
    prop_assert_eq!(ledger.visible(&[2, 4, 2]), model.visible(&[2, 4]));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_agrees_with_a_list_of_slots(steps in prop::collection::vec(step(), 1..80)) {
        let mut ledger = Ledger::new(CAPACITY).expect("a capacity");
        let mut model = Model::default();
        let mut marks: Vec<(u64, Slots)> = Vec::new();
        for step in steps {
            match step {
                Step::Append { owner, count, sink } => {
                    let start = ledger.used();
                    let given = ledger.append(owner, count, sink);
                    prop_assert_eq!(given.is_ok(), model.append(owner, count, sink));
                    if let Ok(given) = given {
                        prop_assert_eq!(given, start..ledger.used());
                    }
                }
                Step::Evict(owners) => {
                    let moves = ledger.evict(&owners);
                    prop_assert_eq!(moves.is_ok(), model.can_evict(&owners));
                    if let Ok(moves) = moves {
                        model.apply(&owners, &moves);
                        check_moves(&ledger, &moves)?;
                    }
                }
                Step::Mark => marks.push((ledger.mark(), model.slots.clone())),
                Step::Rollback(_) if marks.is_empty() => {}
                Step::Rollback(which) => {
                    let (mark, then) = which.get(&marks);
                    // What stood before the mark must stand there still.
                    let intact = model.slots.starts_with(then);
                    prop_assert_eq!(ledger.rollback(*mark).is_ok(), intact);
                    if intact {
                        model.slots.truncate(then.len());
                    }
                }
            }
            check_agreement(&ledger, &model)?;
        }
    }
}

#[test]
fn an_eviction_moves_no_more_than_it_frees() {
    let mut ledger = Ledger::new(100).expect("a capacity");
    for owner in 0..10 {
        ledger.append(owner, 10, owner == 0).expect("room");
    }
    let moves = ledger.evict(&[1, 3]).expect("evictable");
    assert_eq!(moves.len(), 20);
    assert_eq!(ledger.slots(7), (70..80).collect::<Vec<_>>(), "8 and 9 have moved, 7 is last now");
    assert_eq!(ledger.evict(&[7]).expect("evictable"), []);
}

#[test]
fn what_cannot_be_done_changes_nothing_and_says_why() {
    let mut ledger = Ledger::new(8).expect("a capacity");
    ledger.append(0, 2, true).expect("room");
    ledger.append(1, 3, false).expect("room");
    let stale = ledger.mark();
    ledger.append(2, 1, false).expect("room");
    ledger.evict(&[1]).expect("evictable");
    let attempts = [
        (ledger.append(3, 9, false).map(drop), "no room for 9 slots of owner 3: 3 of 8 are used"),
        (ledger.append(0, 1, false).map(drop), "owner 0 is a sink"),
        (ledger.append(2, 1, true).map(drop), "owner 2 is no sink"),
        (ledger.evict(&[2, 0]).map(drop), "cannot evict owner 0: it is a sink"),
        (ledger.evict(&[2, 7]).map(drop), "cannot evict owner 7: it holds no slots"),
        (ledger.rollback(stale), "stale mark"),
        (ledger.rollback(u64::MAX), "not a mark of this ledger"),
    ];
    for (attempt, part) in attempts {
        match attempt {
            Err(Error::Ledger(message)) => assert!(message.contains(part), "{message}"),
            other => panic!("{part}: {other:?}"),
        }
    }
    assert_eq!((ledger.used(), ledger.owners()), (3, vec![0, 2]));
    assert!(matches!(Ledger::new(0), Err(Error::Invalid(_))));
}
