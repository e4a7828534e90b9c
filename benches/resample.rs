//! 10,000 replicates of 2,000 items in 200 clusters, on one core. The baseline draws the items one by one; the limit is
//! what the random numbers alone take.
#![allow(missing_docs, clippy::expect_used, reason = "criterion's macros; a bench may panic")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dsb_core::resample::{Bootstrap, Curve, Items, Method, SignFlip, Swap};

const ITEMS: u32 = 2_000;
const CLUSTERS: i64 = 200;
const REPLICATES: u64 = 10_000;

fn sample() -> (Vec<f64>, Vec<f64>, Vec<i64>) {
    let hits = (0..ITEMS).map(|i| f64::from(i * 7919 % 100 < 63)).collect();
    let clusters = (0..i64::from(ITEMS)).map(|i| i % CLUSTERS).collect();
    (hits, vec![1.0; ITEMS as usize], clusters)
}

/// The random word that a draw takes: a finaliser of 64 bits.
fn word(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// One replicate without sums per cluster: every item of every drawn cluster.
fn item_by_item(hits: &[f64], members: &[Vec<usize>], draws: &[usize]) -> f64 {
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for &cluster in draws {
        for &item in &members[cluster] {
            numerator += hits[item];
            denominator += 1.0;
        }
    }
    numerator / denominator
}

fn resample(criterion: &mut Criterion) {
    let (hits, ones, clusters) = sample();
    let items = Items { numerators: &hits, denominators: &ones };
    let mut group = criterion.benchmark_group("resample");
    group.sample_size(20);
    group.bench_function("bootstrap a ratio", |bencher| {
        bencher.iter(|| {
            let bootstrap = Bootstrap::ratio(items, &clusters, 1).expect("possible");
            black_box(bootstrap.run(REPLICATES, 0.95, Method::Percentile))
        });
    });
    group.bench_function("bootstrap a difference", |bencher| {
        bencher.iter(|| {
            let bootstrap = Bootstrap::difference(items, items, &clusters, 1).expect("possible");
            black_box(bootstrap.run(REPLICATES, 0.95, Method::Percentile))
        });
    });
    group.bench_function("bootstrap a ratio, BCa", |bencher| {
        bencher.iter(|| {
            let bootstrap = Bootstrap::ratio(items, &clusters, 1).expect("possible");
            black_box(bootstrap.run(REPLICATES, 0.95, Method::Bca))
        });
    });
    group.bench_function("bootstrap a curve of 20 ratios with its band", |bencher| {
        bencher.iter(|| {
            let curve = Curve::new(&[items; 20], None, &clusters, 1).expect("possible");
            black_box(curve.run(REPLICATES, 0.95, Method::Percentile))
        });
    });
    group.bench_function("bootstrap a quantile", |bencher| {
        bencher.iter(|| {
            let bootstrap = Bootstrap::quantile(&hits, &clusters, 0.95, 1).expect("possible");
            black_box(bootstrap.run(REPLICATES, 0.95, Method::Percentile))
        });
    });
    group.bench_function("flip signs", |bencher| {
        bencher.iter(|| {
            let test = SignFlip::new(&hits, &clusters, REPLICATES, 1).expect("possible");
            black_box(test.run())
        });
    });
    group.bench_function("exchange a curve of 20 ratios", |bencher| {
        bencher.iter(|| {
            let swap = Swap::new(&[items; 20], &[items; 20], &clusters, REPLICATES, 1);
            black_box(swap.expect("possible").run())
        });
    });
    group.bench_function("limit: as many random words", |bencher| {
        bencher.iter(|| {
            let words = 0..REPLICATES * CLUSTERS.unsigned_abs();
            black_box(words.fold(0, |all, n| all ^ word(black_box(n))))
        });
    });
    group.bench_function("baseline: the items of a ratio, drawn ready", |bencher| {
        let member = |cluster| (0..hits.len()).filter(move |i| i % 200 == cluster).collect();
        let members: Vec<Vec<usize>> = (0..200).map(member).collect();
        let draws: Vec<usize> = (0..200).map(|i| i * 31 % 200).collect();
        bencher.iter(|| {
            (0..REPLICATES).map(|_| item_by_item(&hits, &members, black_box(&draws))).sum::<f64>()
        });
    });
    group.finish();
}

criterion_group!(benches, resample);
criterion_main!(benches);
