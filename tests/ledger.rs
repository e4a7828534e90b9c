//! The slot ledger against a naive model.
#![allow(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "test values are small and exact, and a test may panic"
)]

#[path = "common/ledger_model.rs"]
mod ledger_model;

use dsb_core::Error;
use dsb_core::ledger::Ledger;
use ledger_model::{OWNERS, Step, play};
use proptest::prelude::*;

const CAPACITY: u64 = 24;

fn step() -> impl Strategy<Value = Step> {
    let owner = 0..OWNERS;
    prop_oneof![
        4 => (owner.clone(), 0_u64..6, prop::bool::weighted(0.15))
            .prop_map(|(owner, count, sink)| Step::Append { owner, count, sink }),
        2 => prop::collection::vec(owner, 0..3).prop_map(Step::Evict),
        2 => Just(Step::Mark),
        2 => any::<usize>().prop_map(Step::Rollback),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_agrees_with_a_list_of_slots(steps in prop::collection::vec(step(), 1..80)) {
        play(CAPACITY, steps);
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
