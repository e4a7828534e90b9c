//! What it costs to find out which packets of a video can be left out: two minutes of H.264 at 30 frames per second.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    reason = "criterion's macros; a bench may panic"
)]

#[path = "../tests/common/ffmpeg.rs"]
mod ffmpeg;

use std::fs::File;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dsb_core::Rational;
use dsb_core::prune::{Index, PrunedInput};

const PACKETS: i64 = 3_600;

fn prune(criterion: &mut Criterion) {
    let path = std::env::temp_dir().join(format!("dsb-bench-prune-{}.mp4", std::process::id()));
    let codec = "-c:v libx264 -preset veryfast -bf 3 -pix_fmt yuv420p";
    ffmpeg::make(&format!("-f lavfi -i testsrc2=size=128x72:rate=30:duration=120 {codec}"), &path);
    let open = || File::open(&path).unwrap();
    let index = Index::read(&open()).unwrap();
    let rate = Rational::new(1, 1).unwrap();
    let plan = index.plan(rate, 0, 0).unwrap();
    assert_eq!(plan.packets, usize::try_from(PACKETS).unwrap());

    let mut group = criterion.benchmark_group("prune_3600_packets");
    group.bench_function("limit: read the whole file", |bencher| {
        bencher.iter(|| std::fs::read(black_box(&path)).unwrap());
    });
    group.bench_function("index", |bencher| {
        bencher.iter(|| Index::read(black_box(&open())).unwrap());
    });
    group.bench_function("limit: one pass over the times", |bencher| {
        let times: Vec<i64> = (0..PACKETS).collect();
        bencher.iter(|| black_box(&times).iter().filter(|time| **time % 30 == 0).count());
    });
    group.bench_function("plan", |bencher| {
        bencher.iter(|| index.plan(black_box(rate), 0, 0).unwrap());
    });
    group.bench_function("tables for the decoder", |bencher| {
        bencher.iter(|| PrunedInput::new(open(), &index, black_box(&plan)).unwrap());
    });
    group.finish();
    std::fs::remove_file(path).unwrap();
}

criterion_group!(benches, prune);
criterion_main!(benches);
