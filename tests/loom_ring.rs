//! Models of the ring: each test runs every interleaving of its threads, of the larger ones those with few
//! preemptions.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom_ring --target-dir target/loom`
//!
//! A wake-up that gets lost is a deadlock, and an access to a record that the locks do not order against a write
//! of it is a data race; the model ends with either.
#![cfg(loom)]
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    reason = "test values are small, and a test may panic"
)]

use dsb_core::ring::Writer;
use dsb_core::{EmbeddingRing, End, Error, Lease, Ns, Overflow, Ring};
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

const RECORD: usize = 8;

/// How many times a thread that could go on is made to wait; `None` for every interleaving there is.
type Preemptions = Option<usize>;

fn explore(preemptions: Preemptions, threads: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(threads);
}

fn ring(capacity: usize, overflow: Overflow) -> (Writer, Ring) {
    let (writer, ring) = Ring::new(RECORD, capacity, overflow).unwrap();
    assert_eq!(ring.capacity(), capacity);
    (writer, ring)
}

fn push(writer: &mut Writer, id: u64) -> Result<u64, Error> {
    let mut slot = writer.reserve(1, Ns(id as i64))?;
    slot.record_mut(0).copy_from_slice(&id.to_le_bytes());
    slot.publish()
}

/// A ring that holds as many records as fit.
fn full_ring(capacity: usize, overflow: Overflow) -> (Writer, Ring) {
    let (mut writer, ring) = ring(capacity, overflow);
    (0..capacity as u64).for_each(|id| assert_eq!(push(&mut writer, id), Ok(id)));
    (writer, ring)
}

/// Every record of the lease is the one that its id names, now and after the others have had a turn.
fn check(lease: &Lease) {
    for _ in 0..2 {
        for (id, record) in lease.ids().iter().zip(lease.records()) {
            assert_eq!(record, id.to_le_bytes(), "record {id}");
        }
        thread::yield_now();
    }
}

/// Leases the newest record, if that is still live when the lease is asked for.
fn look(ring: &Ring) {
    let newest = ring.newest();
    match ring.window(newest.saturating_sub(1), newest, 1) {
        Ok(lease) => check(&lease),
        Err(Error::Evicted { wanted, oldest }) => assert!(wanted < oldest),
        Err(error) => panic!("{error}"),
    }
}

fn spawn<T: 'static>(ring: &Ring, act: impl FnOnce(Ring) -> T + 'static) -> JoinHandle<T> {
    let ring = ring.clone();
    thread::spawn(move || act(ring))
}

/// Offers `count` records to a dropping ring; returns how many were thrown away.
fn overwrite(writer: &mut Writer, first: u64, count: u64) -> u64 {
    let (mut id, mut refused) = (first, 0);
    for _ in 0..count {
        match push(writer, id) {
            Ok(pushed) => {
                assert_eq!(pushed, id);
                id += 1;
            }
            Err(Error::Full { .. }) => {
                writer.drop_incoming();
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    refused
}

fn two_readers_of_an_overwriting_writer(capacity: usize) {
    let (mut writer, ring) = ring(capacity, Overflow::DropOldest);
    let readers = [spawn(&ring, |ring| look(&ring)), spawn(&ring, |ring| look(&ring))];
    let refused = overwrite(&mut writer, 0, capacity as u64 + 1);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let stats = ring.stats();
    assert_eq!((stats.dropped, stats.pinned), (refused, 0));
    assert_eq!(stats.pushed, capacity as u64 + 1 - refused);
}

#[test]
fn two_readers_see_whole_records_while_two_are_overwritten() {
    explore(Some(3), || two_readers_of_an_overwriting_writer(2));
}

#[test]
fn two_readers_see_whole_records_while_three_are_overwritten() {
    explore(Some(3), || two_readers_of_an_overwriting_writer(3));
}

#[test]
fn a_reader_sees_whole_records_while_the_ring_goes_round_twice() {
    explore(None, || {
        let (mut writer, ring) = ring(2, Overflow::DropOldest);
        let reader = spawn(&ring, |ring| (0..2).for_each(|_| look(&ring)));
        overwrite(&mut writer, 0, 5);
        reader.join().unwrap();
    });
}

#[test]
fn a_dropping_writer_is_refused_only_while_one_of_two_leases_pins_the_oldest_record() {
    explore(None, || {
        let (mut writer, ring) = full_ring(2, Overflow::DropOldest);
        let lease = ring.window(0, 1, 1).unwrap();
        let again = lease.clone();
        let holders = [lease, again].map(|lease| thread::spawn(move || check(&lease)));
        overwrite(&mut writer, 2, 1);
        holders.into_iter().for_each(|holder| holder.join().unwrap());
        assert_eq!(overwrite(&mut writer, ring.newest(), 1), 0);
    });
}

#[test]
fn a_blocking_ring_delivers_every_record_once_and_in_order() {
    for (capacity, preemptions) in [(2, Some(6)), (3, Some(4))] {
        explore(preemptions, move || {
            let (mut writer, ring) = ring(capacity, Overflow::Block);
            let count = capacity as u64 + 1;
            let reader = spawn(&ring, move |ring| {
                let mut id = 0;
                while ring.wait(id, None).unwrap() {
                    check(&ring.window(id, id + 1, 1).unwrap());
                    id += 1;
                    ring.release_before(id);
                }
                assert_eq!(id, count);
            });
            (0..count).for_each(|id| assert_eq!(push(&mut writer, id), Ok(id)));
            writer.finish(End::Eof);
            reader.join().unwrap();
        });
    }
}

#[test]
fn a_reader_by_time_and_a_reader_by_id_both_come_to_the_end() {
    explore(Some(3), || {
        let (mut writer, ring) = ring(2, Overflow::Block);
        let by_time = spawn(&ring, |ring| ring.wait_until(Ns(1), None));
        let by_id = spawn(&ring, |ring| ring.wait(2, None));
        (0..2).for_each(|id| assert_eq!(push(&mut writer, id), Ok(id)));
        writer.finish(End::Eof);
        assert_eq!(by_time.join().unwrap(), Ok(2));
        assert_eq!(by_id.join().unwrap(), Ok(false));
    });
}

#[test]
fn a_record_wakes_every_reader_who_waits_for_it() {
    explore(None, || {
        let (mut writer, ring) = ring(2, Overflow::Block);
        let readers = [0, 0].map(|id| spawn(&ring, move |ring| ring.wait(id, None)));
        assert_eq!(push(&mut writer, 0), Ok(0));
        // The writer stays, so its end wakes nobody.
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), Ok(true)));
    });
}

#[test]
fn the_end_wakes_every_reader_who_waits() {
    explore(None, || {
        let (writer, ring) = ring(2, Overflow::Block);
        let readers = [0, 1].map(|id| spawn(&ring, move |ring| ring.wait(id, None)));
        ring.close(End::Eof);
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), Ok(false)));
        drop(writer);
    });
}

#[test]
fn a_blocked_writer_goes_on_once_the_oldest_record_is_released_and_not_leased() {
    explore(None, || {
        let (mut writer, ring) = full_ring(2, Overflow::Block);
        let lease = ring.window(0, 1, 1).unwrap();
        let holder = thread::spawn(move || check(&lease));
        let releaser = spawn(&ring, |ring| ring.release_before(1));
        assert_eq!(push(&mut writer, 2), Ok(2));
        holder.join().unwrap();
        releaser.join().unwrap();
        assert_eq!((ring.oldest(), ring.newest()), (1, 3));
    });
}

#[test]
fn a_lease_that_races_with_the_release_of_its_record_is_whole_or_an_error() {
    explore(None, || {
        let (mut writer, ring) = full_ring(2, Overflow::Block);
        let reader = spawn(&ring, |ring| match ring.window(0, 2, 1) {
            Ok(lease) => check(&lease),
            Err(error) => assert_eq!(error, Error::Evicted { wanted: 0, oldest: 1 }),
        });
        let releaser = spawn(&ring, |ring| ring.release_before(1));
        assert_eq!(push(&mut writer, 2), Ok(2));
        reader.join().unwrap();
        releaser.join().unwrap();
    });
}

#[test]
fn a_reader_who_waits_for_what_cannot_come_is_told_so() {
    explore(None, || {
        let (mut writer, ring) = ring(2, Overflow::Block);
        let reader = spawn(&ring, |ring| {
            assert!(matches!(ring.wait(2, None), Err(Error::Full { .. })));
            ring.release_before(1);
            assert_eq!(ring.wait(2, None), Ok(true));
        });
        (0..3).for_each(|id| assert_eq!(push(&mut writer, id), Ok(id)));
        reader.join().unwrap();
    });
}

#[test]
fn closing_wakes_the_writer_and_every_reader() {
    explore(None, || {
        let (mut writer, ring) = full_ring(2, Overflow::Block);
        let reader = spawn(&ring, |ring| ring.wait_until(Ns(9), None));
        let closer = spawn(&ring, |ring| ring.close(End::Cancelled));
        assert_eq!(push(&mut writer, 2), Err(Error::Closed));
        // The reader may have come before the close, when the writer waited for a release.
        let told = reader.join().unwrap();
        assert!(matches!(told, Err(Error::Closed | Error::Full { .. })), "{told:?}");
        closer.join().unwrap();
    });
}

#[test]
fn a_record_is_published_before_the_ring_closes_or_never() {
    explore(None, || {
        let (mut writer, ring) = ring(2, Overflow::Block);
        let closer = spawn(&ring, |ring| {
            ring.close(End::Cancelled);
            ring.newest()
        });
        let pushed = push(&mut writer, 0);
        assert_eq!(closer.join().unwrap(), ring.newest(), "published after the end");
        assert_eq!(ring.newest(), u64::from(pushed.is_ok()));
        assert!(pushed == Ok(0) || pushed == Err(Error::Closed));
    });
}

#[test]
fn a_writer_that_disappears_in_the_middle_of_a_record_wakes_the_reader() {
    explore(None, || {
        let (mut writer, ring) = ring(2, Overflow::Block);
        let reader = spawn(&ring, |ring| ring.wait(0, None));
        let mut slot = writer.reserve(1, Ns(0)).unwrap();
        slot.record_mut(0).fill(0xEE);
        drop(writer);
        assert_eq!(reader.join().unwrap(), Err(Error::Closed));
    });
}

#[test]
fn embeddings_of_two_threads_are_whole_and_each_is_there_once() {
    explore(None, || {
        let ring = Arc::new(EmbeddingRing::new(RECORD, 3).unwrap());
        let pushers = [7_u64, 9].map(|mark| {
            let ring = Arc::clone(&ring);
            let pair = [mark.to_le_bytes(), (mark + 1).to_le_bytes()].concat();
            thread::spawn(move || ring.push(&pair, Ns(0)))
        });
        let newest = ring.ring().newest();
        if let Ok(lease) = ring.window(newest.saturating_sub(2), newest, 1) {
            let bytes = lease.to_vec();
            for pair in bytes.chunks_exact(2 * RECORD) {
                assert_eq!(pair[0] + 1, pair[RECORD], "half a push");
            }
        }
        let mut firsts = pushers.map(|pusher| pusher.join().unwrap());
        firsts.sort_by_key(|first| first.clone().unwrap_or(u64::MAX));
        // Leases that were given up in between may have refused the second one.
        assert_eq!(firsts[0], Ok(0));
        assert!(matches!(firsts[1], Ok(2) | Err(Error::Full { .. })), "{firsts:?}");
    });
}
