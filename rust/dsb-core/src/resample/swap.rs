//! Permutation test of differences of ratios: the two sides change places, cluster by cluster.
#![allow(clippy::cast_precision_loss)] // Counts of permutations stay far below 2^53.

use std::ops::Range;

use super::cluster::Clusters;
use super::curve::{check_points, sums};
use super::ratio::{Items, Sums, divide};
use super::signs::Signs;
use crate::error::{Error, Result};

/// Below this share of the whole, a denominator is the rounding error of one that is 0.
const ROUNDING: f64 = 1e-12;

/// A test that two systems are alike: under that hypothesis their results on a cluster may change places. For means of
/// the same items this is the sign-flip test. With several points (a curve) p-values come adjusted, too.
#[derive(Clone, Debug)]
pub struct Swap {
    points: Vec<Point>,
    signs: Signs,
}

/// How sure it is that a difference is not 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PValue {
    /// Two-sided, of this point alone.
    pub alone: f64,
    /// The same with the chance of a false alarm at any point held to the level: single-step max-T (Westfall & Young
    /// 1993).
    pub adjusted: f64,
}

/// One difference of ratios; sums and differences over each cluster, from which every exchange follows.
#[derive(Clone, Debug)]
struct Point {
    numerators: Vec<f64>,
    denominators: Vec<f64>,
    numerator: f64,
    denominator: f64,
    /// As for the sign-flip test: below the observed difference by the rounding error.
    threshold: f64,
}

impl Swap {
    /// [`Error::Invalid`] if there are no points or no items, `b` has other points than `a`, lengths differ, a number
    /// is not finite, a denominator is negative, all denominators of a point are 0, or `permutations` is 0.
    pub fn new(
        a: &[Items<'_>],
        b: &[Items<'_>],
        clusters: &[i64],
        permutations: u64,
        seed: u64,
    ) -> Result<Self> {
        check_points(a, Some(b))?;
        let clusters = Clusters::new(clusters)?;
        let (a, b) = (sums(" of a", a, &clusters)?, sums(" of b", b, &clusters)?);
        let signs = Signs::new(clusters.count, permutations, seed)?;
        Ok(Self { points: a.iter().zip(&b).map(|(a, b)| Point::new(a, b)).collect(), signs })
    }

    /// Exchanges that are tried: all `2^clusters` if the test is exact.
    pub fn permutations(&self) -> u64 {
        self.signs.permutations()
    }

    /// The differences at all points under the permutations in `numbers`, one permutation after another; NaN where a
    /// denominator is 0.
    pub fn differences(&self, numbers: Range<u64>) -> Vec<f64> {
        let of = |number| self.points.iter().map(move |point| point.permuted(self.signs, number));
        numbers.flat_map(of).collect()
    }

    /// The p-value of each point, from the differences of all permutations. A permutation without a difference counts
    /// as extreme.
    /// [`Error::Invalid`] if these are not the differences of all permutations.
    pub fn p_values(&self, differences: &[f64]) -> Result<Vec<PValue>> {
        let width = self.points.len();
        let wanted = u128::from(self.permutations()) * width as u128;
        if differences.len() as u128 != wanted {
            let cause =
                format!("{} differences, but all permutations have {wanted}", differences.len());
            return Err(Error::invalid(cause));
        }
        let scales: Vec<f64> = (0..width).map(|p| scale(differences, p, width)).collect();
        let largest: Vec<f64> = differences
            .chunks_exact(width)
            .map(|row| row.iter().zip(&scales).map(|(d, scale)| standardised(*d, *scale)))
            .map(|row| row.fold(0.0, f64::max))
            .collect();
        let p_value = |p: usize| {
            let (threshold, column) = (self.points[p].threshold, differences.iter().skip(p));
            let extreme = |d: &&f64| d.is_nan() || d.abs() >= threshold;
            let alone = column.step_by(width).filter(extreme).count();
            let threshold = standardised(threshold.max(0.0), scales[p]);
            let any = largest.iter().filter(|largest| **largest >= threshold).count();
            let of = |extreme: usize| self.signs.p_value(extreme as u64);
            PValue { alone: of(alone), adjusted: of(any) }
        };
        Ok((0..width).map(p_value).collect())
    }

    /// All of it at once.
    pub fn run(&self) -> Result<Vec<PValue>> {
        self.p_values(&self.differences(0..self.permutations()))
    }
}

impl Point {
    fn new(a: &Sums, b: &Sums) -> Self {
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let plus = |a: &[f64], b: &[f64]| a.iter().sum::<f64>() + b.iter().sum::<f64>();
        let mut point = Self {
            numerators: minus(&a.numerators, &b.numerators),
            denominators: minus(&a.denominators, &b.denominators),
            numerator: plus(&a.numerators, &b.numerators),
            denominator: plus(&a.denominators, &b.denominators),
            threshold: 0.0,
        };
        let observed =
            point.difference(point.numerators.iter().sum(), point.denominators.iter().sum());
        let size: f64 = a.numerators.iter().chain(&b.numerators).map(|value| value.abs()).sum();
        point.threshold = observed.abs() - ROUNDING * size / point.denominator;
        point
    }

    fn permuted(&self, signs: Signs, number: u64) -> f64 {
        self.difference(signs.sum(number, &self.numerators), signs.sum(number, &self.denominators))
    }

    /// The difference of the ratios whose numerators and denominators differ by so much; NaN if one is not defined.
    fn difference(&self, numerators: f64, denominators: f64) -> f64 {
        let least = ROUNDING * self.denominator;
        let ratio = |numerators: f64, denominators: f64| {
            let denominator = self.denominator + denominators;
            divide(self.numerator + numerators, denominator).filter(|_| denominator > least)
        };
        let (a, b) = (ratio(numerators, denominators), ratio(-numerators, -denominators));
        a.zip(b).map_or(f64::NAN, |(a, b)| a - b)
    }
}

/// The standard deviation of the differences at one point; their mean is 0 by symmetry.
fn scale(differences: &[f64], p: usize, width: usize) -> f64 {
    let column = differences.iter().skip(p).step_by(width).filter(|value| !value.is_nan());
    let (squares, count) =
        column.fold((0.0, 0_u64), |(sum, n), value| (sum + value * value, n + 1));
    (squares / count as f64).sqrt()
}

/// Infinite where there is no difference; 0 where all differences are 0.
fn standardised(difference: f64, scale: f64) -> f64 {
    if difference.is_nan() {
        return f64::INFINITY;
    }
    if scale > 0.0 { difference.abs() / scale } else { 0.0 }
}
