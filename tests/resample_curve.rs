//! Curves, bands and exchanges against the plain bootstrap and against slow references.
//! `tests/core/test_resample.py` has the reference of BCa intervals and the coverage of all of them.
#![allow(
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "test values are small and exact, and a test may panic"
)]

use dsb_core::Error;
use dsb_core::resample::{Bands, Bootstrap, Curve, Items, Method, SignFlip, Swap};
use proptest::prelude::*;

/// Points of two curves over the same items. Sums of quarters are exact, so no order of additions matters.
#[derive(Clone, Debug)]
struct Sample {
    a: Vec<(Vec<f64>, Vec<f64>)>,
    b: Vec<(Vec<f64>, Vec<f64>)>,
    clusters: Vec<i64>,
}

fn samples(denominators: std::ops::Range<i32>) -> impl Strategy<Value = Sample> {
    // Numerator and denominator of a, then of b.
    let point = (-8_i32..9, denominators.clone(), -8_i32..9, denominators);
    let point = point.prop_map(|(a, of_a, b, of_b)| [a, of_a, b, of_b]);
    let item = (-2_i64..3, prop::collection::vec(point, 3));
    let defined = |curve: &[(Vec<f64>, Vec<f64>)]| {
        curve.iter().all(|(_, denominators)| denominators.iter().sum::<f64>() > 0.0)
    };
    prop::collection::vec(item, 1..25)
        .prop_map(|rows| {
            let column = |which: usize, p: usize| {
                rows.iter().map(|(_, points)| f64::from(points[p][which]) / 4.0).collect()
            };
            Sample {
                a: (0..3).map(|p| (column(0, p), column(1, p))).collect(),
                b: (0..3).map(|p| (column(2, p), column(3, p))).collect(),
                clusters: rows.iter().map(|(cluster, _)| *cluster).collect(),
            }
        })
        .prop_filter("ratios", move |sample| defined(&sample.a) && defined(&sample.b))
}

fn items(curve: &[(Vec<f64>, Vec<f64>)]) -> Vec<Items<'_>> {
    curve.iter().map(|(numerators, denominators)| Items { numerators, denominators }).collect()
}

fn same(a: f64, b: Option<f64>) -> bool {
    b.map_or(a.is_nan(), |b| a.to_bits() == b.to_bits())
}

proptest! {
    #[test]
    fn each_point_of_a_curve_is_what_it_is_alone(sample in samples(0..4), seed: u64, number in 0_u64..1_000) {
        let (a, b) = (items(&sample.a), items(&sample.b));
        let ratios = Curve::new(&a, None, &sample.clusters, seed).expect("possible");
        let differences = Curve::new(&a, Some(&b), &sample.clusters, seed).expect("possible");
        for p in 0..3 {
            let alone = Bootstrap::ratio(a[p], &sample.clusters, seed).expect("possible");
            prop_assert_eq!(ratios.values()[p], alone.value());
            prop_assert!(same(ratios.replicates(number..number + 1)[p], alone.replicate(number)));
            let alone = Bootstrap::difference(a[p], b[p], &sample.clusters, seed).expect("possible");
            prop_assert_eq!(differences.values()[p], alone.value());
            prop_assert!(same(differences.replicates(number..number + 1)[p], alone.replicate(number)));
        }
    }

    #[test]
    fn the_intervals_of_a_curve_are_those_of_its_points(sample in samples(1..4), seed: u64) {
        let (a, b) = (items(&sample.a), items(&sample.b));
        for method in [Method::Percentile, Method::Bca] {
            let curve = Curve::new(&a, Some(&b), &sample.clusters, seed).expect("possible");
            let Bands { points, .. } = curve.run(50, 0.9, method).expect("possible");
            for p in 0..3 {
                let alone = Bootstrap::difference(a[p], b[p], &sample.clusters, seed).expect("possible");
                prop_assert_eq!(points[p], alone.run(50, 0.9, method).expect("possible"));
            }
        }
    }

    #[test]
    fn any_split_gives_the_same_replicates(sample in samples(0..4), seed: u64, cuts in prop::collection::vec(0_u64..60, 0..6)) {
        let curve = Curve::new(&items(&sample.a), None, &sample.clusters, seed).expect("possible");
        let mut cuts = [cuts, vec![0, 60]].concat();
        cuts.sort_unstable();
        let parts: Vec<f64> =
            cuts.windows(2).flat_map(|cut| curve.replicates(cut[0]..cut[1])).collect();
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&parts), bits(&curve.replicates(0..60)));
    }

    #[test]
    fn the_band_holds_its_share_of_whole_curves(sample in samples(1..4), seed: u64) {
        let curve = Curve::new(&items(&sample.a), None, &sample.clusters, seed).expect("possible");
        let replicates = curve.replicates(0..200);
        let band = curve.bands(&replicates, 0.9, Method::Percentile).expect("possible").simultaneous;
        let inside = |values: &&[f64]| {
            let slack = 1e-9;
            values.iter().zip(&band).all(|(value, (low, high))| low - slack <= *value && *value <= high + slack)
        };
        let held = replicates.chunks(3).filter(inside).count();
        prop_assert!(held >= 180, "{held} of 200");
    }

    #[test]
    fn exchanging_means_is_flipping_the_signs_of_their_differences(sample in samples(0..4), permutations in 1_u64..90) {
        let ones = vec![1.0; sample.clusters.len()];
        let mean = |numerators| Items { numerators, denominators: &ones };
        let (a, b) = (mean(&sample.a[0].0), mean(&sample.b[0].0));
        let differences: Vec<f64> =
            a.numerators.iter().zip(b.numerators).map(|(a, b)| a - b).collect();
        let swap = Swap::new(&[a], &[b], &sample.clusters, permutations, 4).expect("possible");
        let flip = SignFlip::new(&differences, &sample.clusters, permutations, 4).expect("possible");
        let found = swap.run().expect("all of them")[0];
        prop_assert_eq!(found.alone, flip.run());
        prop_assert_eq!(found.adjusted, found.alone);
    }

    #[test]
    fn few_clusters_get_the_exact_p_values_of_a_curve(sample in samples(0..4)) {
        let swap = Swap::new(&items(&sample.a), &items(&sample.b), &sample.clusters, 32, 0).expect("possible");
        let found = swap.run().expect("all of them");
        let all = enumerate(&sample);
        let scale = |p: usize| {
            let defined: Vec<f64> = all.iter().filter_map(|row| row[p]).collect();
            (defined.iter().map(|d| d * d).sum::<f64>() / defined.len() as f64).sqrt()
        };
        let far = |p: usize, d: Option<f64>| match d {
            None => f64::INFINITY,
            Some(d) => if scale(p) > 0.0 { d.abs() / scale(p) } else { 0.0 },
        };
        for (p, found) in found.iter().enumerate() {
            let observed = far(p, all[0][p]);
            let at_least = |value: f64| value >= observed * (1.0 - 1e-9) - 1e-9;
            let alone = all.iter().filter(|row| at_least(far(p, row[p]))).count();
            let any = all.iter().filter(|row| (0..3).any(|q| at_least(far(q, row[q])))).count();
            prop_assert_eq!(found.alone, alone as f64 / all.len() as f64);
            prop_assert_eq!(found.adjusted, any as f64 / all.len() as f64);
        }
    }
}

/// The difference at each point for every way to exchange the sides of clusters, item by item.
fn enumerate(sample: &Sample) -> Vec<Vec<Option<f64>>> {
    let mut distinct = sample.clusters.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let difference = |exchanged: u32, p: usize| {
        let (mut a, mut b) = ((0.0, 0.0), (0.0, 0.0));
        for (i, cluster) in sample.clusters.iter().enumerate() {
            let bit = distinct.binary_search(cluster).expect("there");
            let one = (sample.a[p].0[i], sample.a[p].1[i]);
            let other = (sample.b[p].0[i], sample.b[p].1[i]);
            let (one, other) = if exchanged >> bit & 1 == 1 { (other, one) } else { (one, other) };
            a = (a.0 + one.0, a.1 + one.1);
            b = (b.0 + other.0, b.1 + other.1);
        }
        (a.1 > 0.0 && b.1 > 0.0).then(|| a.0 / a.1 - b.0 / b.1)
    };
    let row = |exchanged| (0..3).map(|p| difference(exchanged, p)).collect();
    (0..1 << distinct.len()).map(row).collect()
}

#[test]
fn a_difference_at_one_point_is_less_sure_among_many() {
    // Twenty points, of which one differs in every cluster.
    let ones = [1.0; 30];
    let alternating: Vec<f64> = (0..30_u32).map(|i| f64::from(i % 2)).collect();
    let opposite: Vec<f64> = alternating.iter().map(|value| 1.0 - value).collect();
    let curve = |first: &'static [f64; 30]| {
        let mut points = vec![Items { numerators: first, denominators: &[1.0; 30] }];
        points.resize(20, Items { numerators: &[0.0; 30], denominators: &[1.0; 30] });
        points
    };
    let (mut a, b) = (curve(&[1.0; 30]), curve(&[0.5; 30]));
    a[1] = Items { numerators: &alternating, denominators: &ones };
    let b = [&b[..1], &[Items { numerators: &opposite, denominators: &ones }], &b[2..]].concat();
    let clusters: Vec<i64> = (0..30).collect();
    let found =
        Swap::new(&a, &b, &clusters, 5_000, 1).expect("possible").run().expect("all of them");
    assert!(found[0].alone <= found[0].adjusted && found[0].adjusted < 0.001, "{:?}", found[0]);
    assert!(found[1].alone > 0.9 && found[1].adjusted > 0.9, "{:?}", found[1]);
    assert_eq!((found[2].alone, found[2].adjusted), (1.0, 1.0));
}

#[test]
fn impossible_curves_are_refused() {
    let one = [1.0];
    let point = Items { numerators: &one, denominators: &one };
    let empty = Items { numerators: &one, denominators: &[0.0] };
    let curve = |a: &[Items<'_>], b: Option<&[Items<'_>]>| Curve::new(a, b, &[0], 0).map(drop);
    let good = Curve::new(&[point, point], None, &[0], 0).expect("possible");
    let swap = Swap::new(&[point], &[point], &[0], 2, 0).expect("possible");
    let quantile = Bootstrap::quantile(&one, &[0], 0.5, 0).expect("possible");
    let impossible = [
        (curve(&[], None), "at least one point"),
        (curve(&[point], Some(&[point, point])), "a has 1 points, b has 2"),
        (curve(&[point, empty], None), "all denominators at point 1 are 0"),
        (curve(&[point], Some(&[empty])), "all denominators of b at point 0 are 0"),
        (good.run(0, 0.95, Method::Percentile).map(drop), "no replicate is left"),
        (good.run(1, 1.0, Method::Percentile).map(drop), "level"),
        (good.bands(&[1.0; 3], 0.95, Method::Percentile).map(drop), "no curves of 2"),
        (Swap::new(&[], &[], &[0], 1, 0).map(drop), "at least one point"),
        (Swap::new(&[point], &[point], &[0], 0, 0).map(drop), "permutations"),
        (swap.p_values(&[0.0]).map(drop), "all permutations have 2"),
        (quantile.run(9, 0.9, Method::Bca).map(drop), "a quantile has no BCa interval"),
    ];
    for (outcome, part) in impossible {
        match outcome {
            Err(Error::Invalid(message)) => assert!(message.contains(part), "{message}"),
            other => panic!("{part}: {other:?}"),
        }
    }
}
