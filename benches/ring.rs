//! What a record costs on its way through the ring, against a plain copy of the same bytes and a queue of them.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench may panic")]

use std::collections::VecDeque;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dsb_core::{Ns, Overflow, Ring};

/// One 448 x 448 rgb24 frame.
const FRAME: usize = 448 * 448 * 3;
const CAPACITY: usize = 64;

fn push(criterion: &mut Criterion) {
    let frame = vec![7_u8; FRAME];
    let mut group = criterion.benchmark_group("push_frame");
    group.throughput(Throughput::Bytes(FRAME as u64));

    let mut targets = vec![vec![0_u8; FRAME]; CAPACITY];
    let mut next = 0;
    group.bench_function("baseline_copy_to_rotating_buffers", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % CAPACITY;
            targets[next].copy_from_slice(black_box(&frame));
        });
    });

    let mut queue = VecDeque::with_capacity(CAPACITY);
    group.bench_function("baseline_queue_of_vectors", |bencher| {
        bencher.iter(|| {
            if queue.len() == CAPACITY {
                queue.pop_front();
            }
            queue.push_back(black_box(&frame).clone());
        });
    });

    let (mut writer, _ring) = Ring::new(FRAME, CAPACITY, Overflow::DropOldest).unwrap();
    group.bench_function("ring", |bencher| {
        bencher.iter(|| {
            let mut slot = writer.reserve(1, Ns::ZERO).unwrap();
            slot.record_mut(0).copy_from_slice(black_box(&frame));
            slot.publish().unwrap()
        });
    });
    group.finish();
}

fn bookkeeping(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bookkeeping");
    let lock = std::sync::Mutex::new(0_u64);
    group.bench_function("baseline_two_uncontended_locks", |bencher| {
        bencher.iter(|| {
            *lock.lock().unwrap() += 1;
            *lock.lock().unwrap() += 1;
        });
    });

    let (mut writer, ring) = Ring::new(FRAME, CAPACITY, Overflow::DropOldest).unwrap();
    group.bench_function("reserve_and_publish", |bencher| {
        bencher.iter(|| writer.reserve(1, Ns::ZERO).unwrap().publish().unwrap());
    });
    group.bench_function("wait_for_what_is_there", |bencher| {
        bencher.iter(|| ring.wait(black_box(0), None).unwrap());
    });
    group.bench_function("make_and_free_a_ring", |bencher| {
        bencher.iter(|| Ring::new(FRAME, CAPACITY, Overflow::Block).unwrap());
    });
    group.finish();
}

criterion_group!(benches, push, bookkeeping);
criterion_main!(benches);
