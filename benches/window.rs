//! A window of frames: selecting and leasing it, against gathering the same frames into a new array.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench may panic")]

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dsb_core::{Ns, Overflow, Rational, Ring, WindowSpec, select};

const FRAME: usize = 448 * 448 * 3;
const PERIOD_NS: i64 = 500_000_000;

/// A full ring of 64 frames at 2 fps whose newest 64 frames cross the seam.
fn ring() -> Ring {
    let (mut writer, ring) = Ring::new(FRAME, 64, Overflow::DropOldest).unwrap();
    for id in 0..100 {
        let mut slot = writer.reserve(1, Ns(id * PERIOD_NS)).unwrap();
        slot.record_mut(0).fill(u8::try_from(id).unwrap());
        slot.publish().unwrap();
    }
    ring
}

fn lease(criterion: &mut Criterion) {
    let ring = ring();
    let newest = ring.newest();
    let now = Ns((i64::try_from(newest).unwrap() - 1) * PERIOD_NS);
    let mut group = criterion.benchmark_group("window");
    // What no lease can do without: keep the memory alive, tell the writer, take that back.
    let pins = Arc::new(Mutex::new(0_u64));
    group.bench_function("limit_clone_an_arc_and_lock_twice", |bencher| {
        bencher.iter(|| {
            let pins = Arc::clone(black_box(&pins));
            *pins.lock().unwrap() += 1;
            *pins.lock().unwrap() -= 1;
        });
    });
    for frames in [16_usize, 64] {
        let start = newest - frames as u64;
        let window = ring.window(start, newest, 1).unwrap();
        group.bench_function(BenchmarkId::new("baseline_gather_copy", frames), |bencher| {
            bencher.iter(|| {
                let mut copy = Vec::with_capacity(frames * FRAME);
                window.records().for_each(|record| copy.extend_from_slice(record));
                copy
            });
        });
        group.bench_function(BenchmarkId::new("lease_across_the_seam", frames), |bencher| {
            bencher.iter(|| {
                let lease = ring.window(start, newest, 1).unwrap();
                black_box(lease.contiguous().unwrap().as_ptr())
            });
        });
        let spec = WindowSpec::new(frames, None, Some(Rational::new(2, 1).unwrap())).unwrap();
        group.bench_function(BenchmarkId::new("select_and_lease_at_t", frames), |bencher| {
            bencher.iter(|| black_box(ring.at(black_box(now), &spec).len()));
        });
    }
    group.finish();
}

fn selection(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("select_16");
    for count in [1_000_i64, 1_000_000] {
        let pts: Vec<Ns> = (0..count).map(|i| Ns(i * PERIOD_NS)).collect();
        let now = Ns(count * PERIOD_NS - 1);
        group.bench_function(BenchmarkId::new("baseline_one_binary_search", count), |bencher| {
            bencher.iter(|| pts.partition_point(|pts| *pts <= black_box(now)));
        });
        for (name, rate) in [("every_frame", None), ("sampled", Some((1, 3)))] {
            let rate = rate.map(|(num, den)| Rational::new(num, den).unwrap());
            let spec = WindowSpec::new(16, None, rate).unwrap();
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| select(&spec, &pts, black_box(now)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, lease, selection);
criterion_main!(benches);
