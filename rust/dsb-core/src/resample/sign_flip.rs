//! The sign-flip test of a mean difference.

use std::ops::Range;

use super::cluster::Clusters;
use super::signs::Signs;
use crate::error::Result;

/// A test that the mean difference is 0: under that hypothesis each cluster's sum is as likely with either sign.
#[derive(Clone, Debug)]
pub struct SignFlip {
    /// Sum of the differences of each cluster.
    sums: Vec<f64>,
    /// A permuted total at or above this is as extreme as the observed one. It lies below that by the rounding
    /// error of a sum, so that a total that is equal in exact arithmetic counts.
    threshold: f64,
    signs: Signs,
}

impl SignFlip {
    /// [`Error::Invalid`](crate::Error::Invalid) if there are no items, lengths differ, a difference is not finite or
    /// `permutations` is 0.
    pub fn new(
        differences: &[f64],
        clusters: &[i64],
        permutations: u64,
        seed: u64,
    ) -> Result<Self> {
        let clusters = Clusters::new(clusters)?;
        let sums = clusters.sum("differences", differences)?;
        let signs = Signs::new(clusters.count, permutations, seed)?;
        let rounding = 1e-12 * sums.iter().map(|sum| sum.abs()).sum::<f64>();
        let threshold = sums.iter().sum::<f64>().abs() - rounding;
        Ok(Self { sums, threshold, signs })
    }

    /// Sign vectors that are tried: all `2^clusters` if the test is exact.
    pub fn permutations(&self) -> u64 {
        self.signs.permutations()
    }

    /// How many of the permutations in `numbers` are at least as extreme as the observed differences.
    pub fn extreme(&self, numbers: Range<u64>) -> u64 {
        let total = |number| self.signs.sum(number, &self.sums).abs();
        numbers.map(|number| u64::from(total(number) >= self.threshold)).sum()
    }

    /// The two-sided p-value, given the number of extreme permutations. A random test counts the observed signs as
    /// one more permutation (Phipson & Smyth 2010), so that no p-value is 0.
    pub fn p_value(&self, extreme: u64) -> f64 {
        self.signs.p_value(extreme)
    }

    /// All of it at once.
    pub fn run(&self) -> f64 {
        self.p_value(self.extreme(0..self.permutations()))
    }
}
