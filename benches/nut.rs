//! Reading a NUT stream from memory, against copying its payloads and against a bare length-prefixed reader.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench may panic")]

#[path = "../tests/common/nut_encoder.rs"]
mod nut_encoder;

use std::hint::black_box;
use std::io::Read;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dsb_core::Rational;
use dsb_core::nut::Reader;
use nut_encoder::{Stream, Style};

const FRAMES: i64 = 64;

fn stream(side: u32) -> Vec<u8> {
    let bytes = (side * side * 3) as usize;
    let frames = (0..FRAMES).map(|pts| (pts, vec![7; bytes])).collect();
    let time_base = Rational::new(1, 2).unwrap();
    let style = Style { syncpoint_every: 1, ..Style::default() };
    Stream { width: side, height: side, time_base, frames }.encode(style).0
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read_64_frames");
    // Tiny frames show the cost of the headers, large ones that of moving bytes.
    for side in [8_u32, 448] {
        let bytes = stream(side);
        let mut frame = vec![0_u8; (side * side * 3) as usize];
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("baseline_copy", side), |bencher| {
            bencher.iter(|| {
                let payload = frame.len();
                bytes.chunks_exact(payload).for_each(|chunk| frame.copy_from_slice(chunk));
                black_box(frame[0])
            });
        });
        group.bench_function(BenchmarkId::new("baseline_read_exact", side), |bencher| {
            bencher.iter(|| {
                let mut source = black_box(&bytes[..]);
                (0..FRAMES).for_each(|_| source.read_exact(&mut frame).unwrap());
                black_box(frame[0])
            });
        });
        group.bench_function(BenchmarkId::new("nut", side), |bencher| {
            bencher.iter(|| {
                let mut reader = Reader::open(black_box(&bytes[..])).unwrap();
                while reader.next_frame().unwrap().is_some() {
                    reader.read_payload(&mut frame).unwrap();
                }
                black_box(frame[0])
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
