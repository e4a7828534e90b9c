//! Rings under load: writers that never pause and readers that check every byte of what they lease.
//!
//! `DSB_STRESS_RECORDS` sets the number of records that go through each ring; millions belong into
//! `tests/run --deep`, which also runs this under sanitizers.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "test values are small, and a test may panic"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use dsb_core::ring::Writer;
use dsb_core::{EmbeddingRing, End, Error, Lease, Ns, Overflow, Ring, WindowSpec};

/// Sixteen records to a page, so the seam is never far; and records that are padded.
const GEOMETRIES: [(usize, usize); 2] = [(256, 16), (1000, 5)];

fn records() -> u64 {
    let set = std::env::var("DSB_STRESS_RECORDS").ok();
    set.map_or(20_000, |count| count.parse().unwrap())
}

/// Word `index` of record `id`: no two records and no two places of a record agree.
fn word(id: u64, index: usize) -> [u8; 8] {
    (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (index as u64) << 56 ^ id).to_le_bytes()
}

fn fill(record: &mut [u8], id: u64) {
    record
        .chunks_exact_mut(8)
        .enumerate()
        .for_each(|(i, bytes)| bytes.copy_from_slice(&word(id, i)));
}

fn assert_holds(record: &[u8], id: u64) {
    for (index, bytes) in record.chunks_exact(8).enumerate() {
        assert_eq!(bytes, word(id, index), "word {index} of record {id}");
    }
}

fn push(writer: &mut Writer, id: u64) -> Result<u64, Error> {
    let mut slot = writer.reserve(1, Ns(id as i64))?;
    fill(slot.record_mut(0), id);
    slot.publish()
}

/// Checks every byte of the lease, record by record and through its one slice; returns the number of records.
fn check(lease: &Lease) -> u64 {
    for ((id, record), pts) in lease.ids().iter().zip(lease.records()).zip(lease.pts()) {
        assert_holds(record, id);
        assert_eq!(*pts, Ns(id as i64));
    }
    if let Some((bytes, distance)) = lease.strided() {
        for (index, id) in lease.ids().iter().enumerate() {
            assert_holds(&bytes[index * distance..][..lease.record_bytes()], id);
        }
    }
    lease.len() as u64
}

/// A sequence of numbers without pattern (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Leases windows of every form until the ring has ended; returns how many records were checked.
fn look_around(ring: &Ring, seed: u64) -> u64 {
    let (mut dice, mut checked, mut held) = (Dice(seed), 0, None);
    let depth = ring.capacity() as u64;
    loop {
        // Read before the ring is looked at: after the end every record is still there.
        let ended = ring.end().is_some();
        let newest = ring.newest();
        let lease = if dice.below(4) == 0 {
            let spec = WindowSpec::new(1 + dice.below(depth) as usize, None, None).unwrap();
            Ok(ring.at(Ns(newest.saturating_sub(dice.below(4)) as i64), &spec))
        } else {
            let start = newest.saturating_sub(1 + dice.below(depth));
            ring.window(start, newest, 1 + dice.below(3))
        };
        match lease {
            Ok(lease) => {
                checked += check(&lease);
                // Now and then a copy outlives the next windows.
                match dice.below(8) {
                    0 => held = Some(lease.clone()),
                    1 => checked += held.take().map_or(0, |lease| check(&lease)),
                    _ => {}
                }
            }
            Err(Error::Evicted { wanted, oldest }) => assert!(wanted < oldest),
            Err(error) => panic!("{error}"),
        }
        if ended && checked > 0 {
            return checked;
        }
        thread::yield_now();
    }
}

#[test]
fn readers_of_an_overwriting_writer_never_see_a_wrong_byte() {
    let count = records();
    for (record, capacity) in GEOMETRIES {
        let (mut writer, ring) = Ring::new(record, capacity, Overflow::DropOldest).unwrap();
        let mut refused = 0;
        thread::scope(|scope| {
            for seed in [7, 11] {
                let ring = &ring;
                scope.spawn(move || assert!(look_around(ring, seed) > 0));
            }
            let mut id = 0;
            while id < count {
                match push(&mut writer, id) {
                    Ok(pushed) => {
                        assert_eq!(pushed, id);
                        id += 1;
                    }
                    Err(Error::Full { .. }) => {
                        writer.drop_incoming();
                        refused += 1;
                        thread::yield_now();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            writer.finish(End::Eof);
        });
        let stats = ring.stats();
        assert_eq!((stats.pushed, stats.dropped, stats.pinned), (count, refused, 0));
    }
}

/// A reader that fails must not leave the others waiting.
struct CloseOnPanic<'ring>(&'ring Ring);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close(End::Cancelled);
        }
    }
}

/// Reads every record in windows of up to three, and releases what both readers have passed.
fn read_all(ring: &Ring, mine: &AtomicU64, other: &AtomicU64) {
    let _closed_on_panic = CloseOnPanic(ring);
    let mut id = 0;
    loop {
        match ring.wait(id, None) {
            Ok(true) => {}
            Ok(false) => return,
            // The writer waits for the other reader.
            Err(Error::Full { .. }) => {
                thread::yield_now();
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        let stop = ring.newest().min(id + 3);
        assert_eq!(check(&ring.window(id, stop, 1).unwrap()), stop - id);
        id = stop;
        mine.store(id, Ordering::SeqCst);
        ring.release_before(id.min(other.load(Ordering::SeqCst)));
    }
}

#[test]
fn a_blocking_ring_loses_nothing_between_two_readers() {
    let count = records();
    for (record, capacity) in GEOMETRIES {
        let (mut writer, ring) = Ring::new(record, capacity, Overflow::Block).unwrap();
        let progress = [AtomicU64::new(0), AtomicU64::new(0)];
        thread::scope(|scope| {
            for (mine, other) in [(0, 1), (1, 0)] {
                let (ring, progress) = (&ring, &progress);
                scope.spawn(move || read_all(ring, &progress[mine], &progress[other]));
            }
            (0..count).for_each(|id| assert_eq!(push(&mut writer, id), Ok(id)));
            writer.finish(End::Eof);
        });
        assert_eq!(progress.map(AtomicU64::into_inner), [count, count]);
        assert_eq!((ring.stats().pushed, ring.stats().dropped), (count, 0));
    }
}

#[test]
fn embeddings_of_several_threads_are_whole() {
    const BATCH: usize = 3;
    let ring = EmbeddingRing::new(256, 16).unwrap();
    let batches = records() / BATCH as u64 / 2;
    let pushers = AtomicU64::new(2);
    thread::scope(|scope| {
        for mark in [0, 1 << 40] {
            let (ring, pushers) = (&ring, &pushers);
            scope.spawn(move || {
                let mut bytes = [0; BATCH * 256];
                for batch in 0..batches {
                    bytes.chunks_exact_mut(256).for_each(|record| fill(record, mark + batch));
                    match ring.push(&bytes, Ns(0)) {
                        Ok(_) | Err(Error::Full { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                pushers.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while pushers.load(Ordering::SeqCst) > 0 {
            let stop = ring.ring().newest();
            let Ok(lease) = ring.window(stop.saturating_sub(BATCH as u64), stop, 1) else {
                continue;
            };
            let Some(first) = lease.record(0) else { continue };
            // The three were pushed together, so they are the same batch of the same thread.
            assert!(lease.records().all(|record| record == first));
            drop(lease);
            thread::yield_now();
        }
    });
}
