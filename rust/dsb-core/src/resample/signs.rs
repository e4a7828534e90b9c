//! Random or all vectors of signs, and the p-value that they give.
#![allow(clippy::cast_precision_loss)] // Counts of permutations stay far below 2^53.

use super::random::{nth, stream};
use crate::error::{Error, Result};

/// One sign per cluster for each permutation: every vector of signs once if there are few enough, else random ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    seed: u64,
    permutations: u64,
    exact: bool,
}

impl Signs {
    /// [`Error::Invalid`] if `permutations` is 0.
    pub(super) fn new(clusters: usize, permutations: u64, seed: u64) -> Result<Self> {
        if permutations == 0 {
            return Err(Error::invalid("permutations must be at least 1"));
        }
        let all = u32::try_from(clusters).ok().and_then(|clusters| 1_u64.checked_shl(clusters));
        Ok(match all.filter(|&all| all <= permutations) {
            Some(all) => Self { seed, permutations: all, exact: true },
            None => Self { seed, permutations, exact: false },
        })
    }

    pub(super) fn permutations(&self) -> u64 {
        self.permutations
    }

    /// `values`, one per cluster, summed with the signs of permutation `number`.
    pub(super) fn sum(&self, number: u64, values: &[f64]) -> f64 {
        let key = if self.exact { 0 } else { stream(self.seed, number) };
        let flipped = |(word, values): (usize, &[f64])| {
            let signs = if self.exact { number } else { nth(key, word as u64) };
            // Without a branch, which half of the signs would mispredict.
            let signed = |(bit, value): (usize, &f64)| {
                f64::from_bits(value.to_bits() ^ (((signs >> bit) & 1) << 63))
            };
            values.iter().enumerate().map(signed).sum::<f64>()
        };
        values.chunks(64).enumerate().map(flipped).sum()
    }

    /// The p-value, given the number of extreme permutations. A random test counts the observed signs as one more
    /// permutation (Phipson & Smyth 2010), so that no p-value is 0.
    pub(super) fn p_value(&self, extreme: u64) -> f64 {
        let extra = u64::from(!self.exact);
        (extreme + extra) as f64 / (self.permutations + extra) as f64
    }
}
