//! Slot bookkeeping of a full arena: 256 frames of 64 slots, 4 of them sinks.
#![allow(missing_docs, clippy::expect_used, reason = "criterion's macros; a bench may panic")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dsb_core::ledger::Ledger;

const SLOTS: u64 = 64;
const FRAMES: u64 = 256;

fn of_frame(frame: u64) -> impl Iterator<Item = u64> {
    (0..SLOTS).map(move |_| frame)
}

fn full() -> Ledger {
    let mut ledger = Ledger::new(SLOTS * (FRAMES + 1)).expect("a capacity");
    for frame in 0..FRAMES {
        ledger.append(frame, SLOTS, frame < 4).expect("room");
    }
    ledger
}

fn ledger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.bench_function("limit: write 64 owners", |bencher| {
        let mut owners: Vec<u64> = of_frame(0).collect();
        bencher.iter(|| black_box(&mut owners[..]).fill(black_box(FRAMES)));
    });
    group.bench_function("append a frame, roll back", |bencher| {
        let mut ledger = full();
        bencher.iter(|| {
            let mark = ledger.mark();
            black_box(ledger.append(FRAMES, SLOTS, false)).expect("room");
            ledger.rollback(mark).expect("a fresh mark");
        });
    });
    group.bench_function("limit: move 64 owners, write 64", |bencher| {
        let mut owners: Vec<u64> = (0..FRAMES).flat_map(of_frame).collect();
        let frame = of_frame(0).count();
        let (oldest, tail) = (4 * frame, owners.len() - frame);
        bencher.iter(|| {
            let owners = black_box(&mut owners);
            owners.copy_within(tail.., oldest);
            owners[tail..].fill(black_box(FRAMES));
        });
    });
    group.bench_function("evict the oldest frame, append the next", |bencher| {
        let mut ledger = full();
        let (mut oldest, mut next) = (4, FRAMES);
        bencher.iter(|| {
            black_box(ledger.evict(&[oldest])).expect("evictable");
            ledger.append(next, SLOTS, false).expect("room");
            (oldest, next) = (oldest + 1, next + 1);
        });
    });
    group.bench_function("baseline: the same on a list of owners", |bencher| {
        let mut owners: Vec<u64> = (0..FRAMES).flat_map(of_frame).collect();
        let (mut oldest, mut next) = (4, FRAMES);
        bencher.iter(|| {
            owners.retain(|&owner| owner != oldest);
            owners.extend(of_frame(next));
            black_box(&owners);
            (oldest, next) = (oldest + 1, next + 1);
        });
    });
    group.bench_function("evict a quarter of the frames", |bencher| {
        let every_fourth: Vec<u64> = (4..FRAMES).step_by(4).collect();
        bencher.iter_batched_ref(
            full,
            |ledger| black_box(ledger.evict(&every_fourth)).expect("evictable"),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("visible slots of 32 frames", |bencher| {
        let ledger = full();
        let frames: Vec<u64> = (100..132).collect();
        bencher.iter(|| black_box(ledger.visible(black_box(&frames))));
    });
    group.finish();
}

criterion_group!(benches, ledger);
criterion_main!(benches);
