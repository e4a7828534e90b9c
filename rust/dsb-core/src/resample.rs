//! Resampling statistics over clusters (videos): bootstrap intervals and a sign-flip test.
//!
//! Items of one cluster are not independent, so clusters are what is drawn (Cameron, Gelbach & Miller 2008,
//! "Bootstrap-based improvements for inference with clustered errors"). Items are summed per cluster first; a
//! replicate then costs O(clusters). Random numbers are counter-based: a replicate depends on the seed and its own
//! number alone, so any order and any split over threads gives the same bits.
#![allow(clippy::cast_precision_loss)] // Counts of items and replicates stay far below 2^53.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Floats become positions in a slice.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::quantile::Ranked;

/// A point estimate with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The statistic of the items themselves.
    pub value: f64,
    /// Lower end of the percentile interval.
    pub low: f64,
    /// Upper end of the percentile interval.
    pub high: f64,
    /// Standard deviation of the replicates (0 for a single one).
    pub standard_error: f64,
}

/// Numerators and denominators of a ratio, one pair per item.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    /// What is counted, for example hits.
    pub numerators: &'a [f64],
    /// What it is counted of, for example 1 for a mean; not negative.
    pub denominators: &'a [f64],
}

/// The sums of one ratio over each cluster.
#[derive(Clone, Debug)]
struct Sums {
    numerators: Vec<f64>,
    denominators: Vec<f64>,
}

/// What is computed of a resample. All parts have the same clusters in the same order.
#[derive(Clone, Debug)]
enum Statistic {
    Ratio(Sums),
    Difference(Sums, Sums),
    Quantile(Ranked),
}

/// A clustered bootstrap of a ratio, of a difference of ratios paired by item, or of a quantile.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    statistic: Statistic,
    clusters: usize,
    seed: u64,
}

impl Bootstrap {
    /// Bootstrap of `sum(numerators) / sum(denominators)`.
    /// [`Error::Invalid`] if there are no items, lengths differ, a number is not finite, a denominator is negative
    /// or all of them are 0.
    pub fn ratio(items: Items<'_>, clusters: &[i64], seed: u64) -> Result<Self> {
        let (groups, count) = group(clusters)?;
        let statistic = Statistic::Ratio(Sums::new("", items, &groups, count)?);
        Ok(Self { statistic, clusters: count, seed })
    }

    /// Bootstrap of `ratio(a) - ratio(b)`.
    /// Fails as [`Bootstrap::ratio`] does.
    pub fn difference(a: Items<'_>, b: Items<'_>, clusters: &[i64], seed: u64) -> Result<Self> {
        let (groups, count) = group(clusters)?;
        let a = Sums::new(" of a", a, &groups, count)?;
        let b = Sums::new(" of b", b, &groups, count)?;
        Ok(Self { statistic: Statistic::Difference(a, b), clusters: count, seed })
    }

    /// Bootstrap of the `q`-quantile of `values`, interpolated linearly between order statistics.
    /// [`Error::Invalid`] if there are no values, lengths differ, a value is not finite or `q` is outside [0, 1].
    pub fn quantile(values: &[f64], clusters: &[i64], q: f64, seed: u64) -> Result<Self> {
        let (groups, count) = group(clusters)?;
        sum_by("values", values, &groups, count)?;
        let statistic = Statistic::Quantile(Ranked::new(values, &groups, count, q)?);
        Ok(Self { statistic, clusters: count, seed })
    }

    /// The statistic of the items themselves.
    pub fn value(&self) -> f64 {
        // Not NaN: the denominators were found to be positive.
        self.statistic(|| 0..self.clusters).unwrap_or(f64::NAN)
    }

    /// The statistic of one resample, or `None` if its denominator is 0.
    pub fn replicate(&self, number: u64) -> Option<f64> {
        self.statistic(|| draws(self.seed, number, self.clusters))
    }

    /// The statistics of the replicates in `numbers`, without those whose denominator is 0.
    pub fn replicates(&self, numbers: Range<u64>) -> Vec<f64> {
        numbers.filter_map(|number| self.replicate(number)).collect()
    }

    /// The percentile interval of `replicates` at `level`, interpolated linearly between order statistics.
    /// [`Error::Invalid`] if `level` is not inside (0, 1) or no replicate is left.
    pub fn interval(&self, mut replicates: Vec<f64>, level: f64) -> Result<Interval> {
        check_level(level)?;
        if replicates.is_empty() {
            let cause = "no replicate is left: replicates must be at least 1, and not all of them may have drawn \
                         clusters whose denominators are 0";
            return Err(Error::invalid(cause));
        }
        replicates.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - level) / 2.0;
        Ok(Interval {
            value: self.value(),
            low: percentile(&replicates, tail),
            high: percentile(&replicates, 1.0 - tail),
            standard_error: standard_deviation(&replicates),
        })
    }

    /// All of it at once.
    /// [`Error::Invalid`] if `replicates` is 0, and as [`Bootstrap::interval`].
    pub fn run(&self, replicates: u64, level: f64) -> Result<Interval> {
        check_level(level)?;
        self.interval(self.replicates(0..replicates), level)
    }

    fn statistic<I: Iterator<Item = usize>>(&self, chosen: impl Fn() -> I) -> Option<f64> {
        match &self.statistic {
            Statistic::Ratio(sums) => sums.ratio(chosen()),
            Statistic::Difference(a, b) => Some(a.ratio(chosen())? - b.ratio(chosen())?),
            Statistic::Quantile(ranked) => ranked.quantile(chosen()),
        }
    }
}

impl Sums {
    fn new(whose: &str, items: Items<'_>, groups: &[usize], count: usize) -> Result<Self> {
        let numerators = sum_by(&format!("numerators{whose}"), items.numerators, groups, count)?;
        let name = format!("denominators{whose}");
        let denominators = sum_by(&name, items.denominators, groups, count)?;
        if let Some(i) = items.denominators.iter().position(|&denominator| denominator < 0.0) {
            return Err(Error::Invalid(format!("{name}[{i}] is negative")));
        }
        if denominators.iter().sum::<f64>() <= 0.0 {
            return Err(Error::Invalid(format!("all {name} are 0, so the ratio is not defined")));
        }
        Ok(Self { numerators, denominators })
    }

    fn ratio(&self, chosen: impl Iterator<Item = usize>) -> Option<f64> {
        let (mut numerator, mut denominator) = (0.0, 0.0);
        for cluster in chosen {
            numerator += self.numerators[cluster];
            denominator += self.denominators[cluster];
        }
        (denominator > 0.0).then(|| numerator / denominator)
    }
}

/// A test that the mean difference is 0: under that hypothesis each cluster's sum is as likely with either sign.
#[derive(Clone, Debug)]
pub struct SignFlip {
    /// Sum of the differences of each cluster.
    sums: Vec<f64>,
    /// A permuted total at or above this is as extreme as the observed one. It lies below that by the rounding
    /// error of a sum, so that a total that is equal in exact arithmetic counts.
    threshold: f64,
    seed: u64,
    permutations: u64,
    exact: bool,
}

impl SignFlip {
    /// [`Error::Invalid`] if there are no items, lengths differ, a difference is not finite or `permutations` is 0.
    pub fn new(
        differences: &[f64],
        clusters: &[i64],
        permutations: u64,
        seed: u64,
    ) -> Result<Self> {
        let (groups, count) = group(clusters)?;
        let sums = sum_by("differences", differences, &groups, count)?;
        if permutations == 0 {
            return Err(Error::Invalid("permutations must be at least 1".into()));
        }
        let all = u32::try_from(count).ok().and_then(|count| 1_u64.checked_shl(count));
        let exact = all.is_some_and(|all| all <= permutations);
        let permutations = all.filter(|_| exact).unwrap_or(permutations);
        let rounding = 1e-12 * sums.iter().map(|sum| sum.abs()).sum::<f64>();
        let threshold = sums.iter().sum::<f64>().abs() - rounding;
        Ok(Self { sums, threshold, seed, permutations, exact })
    }

    /// Sign vectors that are tried: all `2^clusters` if the test is exact.
    pub fn permutations(&self) -> u64 {
        self.permutations
    }

    /// How many of the permutations in `numbers` are at least as extreme as the observed differences.
    pub fn extreme(&self, numbers: Range<u64>) -> u64 {
        numbers.map(|number| u64::from(self.total(number).abs() >= self.threshold)).sum()
    }

    /// The two-sided p-value, given the number of extreme permutations. A random test counts the observed signs as
    /// one more permutation (Phipson & Smyth 2010), so that no p-value is 0.
    pub fn p_value(&self, extreme: u64) -> f64 {
        let extra = u64::from(!self.exact);
        (extreme + extra) as f64 / (self.permutations + extra) as f64
    }

    /// All of it at once.
    pub fn run(&self) -> f64 {
        self.p_value(self.extreme(0..self.permutations))
    }

    fn total(&self, number: u64) -> f64 {
        let key = if self.exact { 0 } else { stream(self.seed, number) };
        let signs = |word: u64| if self.exact { number } else { nth(key, word) };
        let flipped = |(word, sums): (usize, &[f64])| {
            let signs = signs(word as u64);
            // Without a branch, which half of the signs would mispredict.
            let signed = |(bit, sum): (usize, &f64)| {
                f64::from_bits(sum.to_bits() ^ (((signs >> bit) & 1) << 63))
            };
            sums.iter().enumerate().map(signed).sum::<f64>()
        };
        self.sums.chunks(64).enumerate().map(flipped).sum()
    }
}

/// The position of each item's cluster among the distinct clusters in ascending order, and their number.
fn group(clusters: &[i64]) -> Result<(Vec<usize>, usize)> {
    if clusters.is_empty() {
        return Err(Error::Invalid("there are no items to resample".into()));
    }
    let mut positions: BTreeMap<i64, usize> =
        clusters.iter().map(|&cluster| (cluster, 0)).collect();
    positions.values_mut().enumerate().for_each(|(position, value)| *value = position);
    Ok((clusters.iter().map(|cluster| positions[cluster]).collect(), positions.len()))
}

fn sum_by(name: &str, values: &[f64], groups: &[usize], count: usize) -> Result<Vec<f64>> {
    if values.len() != groups.len() {
        let lengths = (values.len(), groups.len());
        return Err(Error::Invalid(format!("{} {name} for {} clusters", lengths.0, lengths.1)));
    }
    if let Some(i) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::Invalid(format!("{name}[{i}] is {}, not a finite number", values[i])));
    }
    let mut sums = vec![0.0; count];
    for (&value, &group) in values.iter().zip(groups) {
        sums[group] += value;
    }
    // A resample may hold the largest cluster in every place.
    let largest = sums.iter().fold(0.0, |largest: f64, sum| largest.max(sum.abs()));
    if !(largest * count as f64).is_finite() {
        return Err(Error::Invalid(format!("{name} are too large to be summed")));
    }
    Ok(sums)
}

fn check_level(level: f64) -> Result<()> {
    if 0.0 < level && level < 1.0 {
        return Ok(());
    }
    Err(Error::Invalid(format!("level must lie between 0 and 1, got {level}")))
}

/// Percentile of ascending values with linear interpolation (definition 7 of Hyndman & Fan 1996).
fn percentile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

fn standard_deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// As many positions below `count` as there are, drawn with replacement.
fn draws(seed: u64, replicate: u64, count: usize) -> impl Iterator<Item = usize> {
    let key = stream(seed, replicate);
    // The high half of a 64 x 64 bit product: uniform up to count / 2^64.
    (0..count as u64).map(move |n| ((u128::from(nth(key, n)) * count as u128) >> 64) as usize)
}

/// The key of the random stream number `number`.
fn stream(seed: u64, number: u64) -> u64 {
    mix(mix(seed).wrapping_add(number))
}

/// Word `n` of the stream: `SplitMix64` (Steele, Lea & Flood 2014) with the counter as its state.
fn nth(key: u64, n: u64) -> u64 {
    mix(key.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
