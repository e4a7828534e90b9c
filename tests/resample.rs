//! Resampling against slow references.
#![allow(
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "test values are small and exact, and a test may panic"
)]

use dsb_core::Error;
use dsb_core::resample::{Bootstrap, Interval, Items, Method, SignFlip};
use proptest::prelude::*;

/// `SplitMix64` as published: a counter that grows by the golden gamma, and a finaliser.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finalise(self.0)
    }
}

fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One resample, item by item: draw clusters, collect all their items, divide.
fn slow_replicate(
    numerators: &[f64],
    denominators: &[f64],
    clusters: &[i64],
    seed: u64,
    number: u64,
) -> Option<f64> {
    let mut distinct = clusters.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let mut random = SplitMix64(finalise(finalise(seed).wrapping_add(number)));
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for _ in 0..distinct.len() {
        let drawn = (u128::from(random.next()) * distinct.len() as u128) >> 64;
        let cluster = distinct[usize::try_from(drawn).expect("a position")];
        for item in (0..clusters.len()).filter(|&item| clusters[item] == cluster) {
            numerator += numerators[item];
            denominator += denominators[item];
        }
    }
    (denominator > 0.0).then(|| numerator / denominator)
}

/// Items whose sums are exact, so that the order of additions cannot matter.
fn items() -> impl Strategy<Value = (Vec<f64>, Vec<f64>, Vec<i64>)> {
    let item = (-8_i32..9, 0_i32..4, -3_i64..4);
    prop::collection::vec(item, 1..40)
        .prop_map(|items| {
            let quarter = |n: i32| f64::from(n) / 4.0;
            let numerators = items.iter().map(|item| quarter(item.0)).collect();
            let denominators = items.iter().map(|item| quarter(item.1)).collect();
            (numerators, denominators, items.iter().map(|item| item.2).collect())
        })
        .prop_filter("a ratio", |(_, denominators, _): &(_, Vec<f64>, _)| {
            denominators.iter().any(|&denominator| denominator > 0.0)
        })
}

fn ratio<'a>(numerators: &'a [f64], denominators: &'a [f64]) -> Items<'a> {
    Items { numerators, denominators }
}

/// Linear interpolation between order statistics, by its definition.
fn slow_percentile(values: &[f64], fraction: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    (0..=last)
        .zip(&sorted)
        .map(|(rank, value)| value * (1.0 - (fraction * last as f64 - rank as f64).abs()).max(0.0))
        .sum()
}

proptest! {
    #[test]
    fn a_replicate_is_what_drawing_whole_clusters_gives(
        (numerators, denominators, clusters) in items(), seed: u64, number: u64,
    ) {
        let bootstrap = Bootstrap::ratio(ratio(&numerators, &denominators), &clusters, seed)
            .expect("possible");
        let slow = slow_replicate(&numerators, &denominators, &clusters, seed, number);
        prop_assert_eq!(bootstrap.replicate(number), slow);
    }

    #[test]
    fn a_difference_draws_the_same_clusters_for_both(
        (numerators, denominators, clusters) in items(), seed: u64, number: u64,
    ) {
        let ones = vec![1.0; clusters.len()];
        let (a, b) = (ratio(&numerators, &denominators), ratio(&denominators, &ones));
        let paired = Bootstrap::difference(a, b, &clusters, seed).expect("possible");
        let alone = |items| Bootstrap::ratio(items, &clusters, seed).expect("possible").replicate(number);
        let difference = alone(a).zip(alone(b)).map(|(a, b)| a - b);
        prop_assert_eq!(paired.replicate(number), difference);
        let itself = Bootstrap::difference(a, a, &clusters, seed).expect("possible");
        prop_assert_eq!(itself.replicate(number).unwrap_or(0.0), 0.0);
    }

    #[test]
    fn the_interval_is_that_of_its_replicates(
        (numerators, denominators, clusters) in items(), seed: u64, level in 0.01_f64..0.99,
    ) {
        let bootstrap = Bootstrap::ratio(ratio(&numerators, &denominators), &clusters, seed)
            .expect("possible");
        let replicates = bootstrap.replicates(0..200);
        prop_assume!(!replicates.is_empty());
        let interval = bootstrap.run(200, level, Method::Percentile).expect("possible");
        let tail = (1.0 - level) / 2.0;
        let value = numerators.iter().sum::<f64>() / denominators.iter().sum::<f64>();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
        prop_assert!(close(interval.value, value));
        prop_assert!(close(interval.low, slow_percentile(&replicates, tail)));
        prop_assert!(close(interval.high, slow_percentile(&replicates, 1.0 - tail)));
    }

    #[test]
    fn few_clusters_get_the_exact_p_value(sums in prop::collection::vec(-4_i32..5, 1..9)) {
        let differences: Vec<f64> = sums.iter().map(|&sum| f64::from(sum)).collect();
        let clusters: Vec<i64> = (0..).take(sums.len()).collect();
        let observed = sums.iter().sum::<i32>().abs();
        let all = 1_u32 << sums.len();
        let signed = |signs: u32| -> i32 {
            sums.iter().enumerate().map(|(i, sum)| if signs >> i & 1 == 1 { -sum } else { *sum }).sum()
        };
        let extreme = (0..all).filter(|&signs| signed(signs).abs() >= observed).count();
        let test = SignFlip::new(&differences, &clusters, u64::from(all), 3).expect("possible");
        prop_assert_eq!(test.run(), extreme as f64 / f64::from(all));
    }
}

/// A small sample with known answers: 60 items in 12 clusters.
fn sample() -> (Vec<f64>, Vec<f64>, Vec<i64>) {
    let hits = (0..60_u32).map(|i| f64::from(i * i % 7 < 3)).collect();
    (hits, vec![1.0; 60], (0..60).map(|i| i / 5).collect())
}

#[test]
fn the_split_over_threads_does_not_matter() {
    let (hits, ones, clusters) = sample();
    let bootstrap = Bootstrap::ratio(ratio(&hits, &ones), &clusters, 11).expect("possible");
    let alone = bootstrap.replicates(0..1_000);
    for threads in [1, 2, 5] {
        let part = 1_000_u64.div_ceil(threads);
        let parts: Vec<Vec<f64>> = std::thread::scope(|scope| {
            let run = |n| {
                let bootstrap = &bootstrap;
                scope.spawn(move || bootstrap.replicates(n * part..1_000.min((n + 1) * part)))
            };
            let running: Vec<_> = (0..threads).map(run).collect();
            running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(parts.concat(), alone);
    }
}

#[test]
fn a_seed_gives_the_same_bits_on_every_machine() {
    let (hits, ones, clusters) = sample();
    let run = |seed| {
        let bootstrap = Bootstrap::ratio(ratio(&hits, &ones), &clusters, seed).expect("possible");
        bootstrap.run(10_000, 0.95, Method::Percentile).expect("possible")
    };
    let Interval { value, low, high, standard_error } = run(7);
    let bits = [value, low, high, standard_error].map(f64::to_bits);
    assert_eq!(
        bits,
        [
            0x3fe6_eeee_eeee_eeef,
            0x3fe5_5555_5555_5555,
            0x3fe8_8888_8888_8889,
            0x3f9d_377c_16bb_50ed
        ]
    );
    assert_ne!(run(8), run(7));
}

#[test]
fn the_order_of_items_does_not_matter() {
    let (mut hits, ones, mut clusters) = sample();
    let run = |hits: &[f64], clusters: &[i64]| {
        Bootstrap::ratio(ratio(hits, &ones), clusters, 1).expect("possible").run(
            500,
            0.9,
            Method::Percentile,
        )
    };
    let forward = run(&hits, &clusters);
    hits.reverse();
    clusters.reverse();
    assert_eq!(run(&hits, &clusters), forward);
}

#[test]
fn the_standard_error_of_a_mean_approaches_the_formula() {
    // Independent items: sqrt(p (1 - p) / n).
    let hits: Vec<f64> = (0..400_u32).map(|i| f64::from(i % 4 == 0)).collect();
    let clusters: Vec<i64> = (0..400).collect();
    let bootstrap = Bootstrap::ratio(ratio(&hits, &[1.0; 400]), &clusters, 5).expect("possible");
    let interval = bootstrap.run(10_000, 0.95, Method::Percentile).expect("possible");
    let formula = (0.25_f64 * 0.75 / 400.0).sqrt();
    assert!((interval.standard_error / formula - 1.0).abs() < 0.03, "{interval:?}");
    let half = (interval.high - interval.low) / 2.0;
    assert!((half / (1.96 * formula) - 1.0).abs() < 0.06, "{interval:?}");
}

#[test]
fn a_random_sign_flip_approaches_the_exact_one() {
    let differences: Vec<f64> = (0..12_u32).map(|i| f64::from(i % 5) - 1.0).collect();
    let clusters: Vec<i64> = (0..12).collect();
    let exact = SignFlip::new(&differences, &clusters, 1 << 12, 0).expect("possible");
    let random = SignFlip::new(&differences, &clusters, 4_095, 0).expect("possible");
    assert_eq!((exact.permutations(), random.permutations()), (4_096, 4_095));
    assert!((exact.run() - random.run()).abs() < 0.03, "{} {}", exact.run(), random.run());
}

#[test]
fn more_than_64_clusters_have_independent_signs() {
    let clusters: Vec<i64> = (0..200).collect();
    let test = |differences: &[f64]| {
        SignFlip::new(differences, &clusters, 2_000, 1).expect("possible").run()
    };
    assert!(test(&[1.0; 200]) < 0.001);
    let balanced: Vec<f64> = (0..200).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    assert_eq!(test(&balanced), 1.0);
}

#[test]
fn impossible_samples_are_refused() {
    let one = [1.0];
    let mean = |numerators: &[f64], denominators: &[f64], clusters: &[i64]| {
        Bootstrap::ratio(ratio(numerators, denominators), clusters, 0).map(drop)
    };
    let run = |replicates, level| {
        let bootstrap = Bootstrap::ratio(ratio(&one, &one), &[0], 0).expect("possible");
        bootstrap.run(replicates, level, Method::Percentile).map(drop)
    };
    let difference =
        Bootstrap::difference(ratio(&one, &one), ratio(&one, &[0.0]), &[0], 0).map(drop);
    let impossible = [
        (mean(&[], &[], &[]), "no items"),
        (mean(&[1.0, 2.0], &one, &[0]), "2 numerators for 1 clusters"),
        (mean(&one, &one, &[0, 0]), "1 numerators for 2 clusters"),
        (mean(&[f64::NAN], &one, &[0]), "numerators[0] is NaN"),
        (mean(&one, &[f64::INFINITY], &[0]), "denominators[0] is inf"),
        (mean(&one, &[-1.0], &[0]), "denominators[0] is negative"),
        (mean(&one, &[0.0], &[0]), "all denominators are 0"),
        (mean(&[1e308; 4], &[1.0; 4], &[0, 0, 1, 1]), "too large"),
        (difference, "all denominators of b are 0"),
        (run(0, 0.95), "no replicate is left"),
        (run(10, 0.0), "level"),
        (run(10, 1.0), "level"),
        (run(10, f64::NAN), "level"),
        (SignFlip::new(&[], &[], 9, 0).map(drop), "no items"),
        (SignFlip::new(&[f64::NAN], &[0], 9, 0).map(drop), "differences[0] is NaN"),
        (SignFlip::new(&one, &[0], 0, 0).map(drop), "permutations"),
    ];
    for (outcome, part) in impossible {
        match outcome {
            Err(Error::Invalid(message)) => assert!(message.contains(part), "{message}"),
            other => panic!("{part}: {other:?}"),
        }
    }
}
