//! A ratio of sums, of any choice of clusters.

use super::cluster::Clusters;
use crate::error::{Error, Result};

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
pub(super) struct Sums {
    pub(super) numerators: Vec<f64>,
    pub(super) denominators: Vec<f64>,
}

impl Sums {
    /// `whose` follows the name of a column in messages.
    /// [`Error::Invalid`] if a column cannot be summed, a denominator is negative or all of them are 0.
    pub(super) fn new(whose: &str, items: Items<'_>, clusters: &Clusters) -> Result<Self> {
        let numerators = clusters.sum(&format!("numerators{whose}"), items.numerators)?;
        let name = format!("denominators{whose}");
        let denominators = clusters.sum(&name, items.denominators)?;
        if let Some(i) = items.denominators.iter().position(|&denominator| denominator < 0.0) {
            return Err(Error::invalid(format!("{name}[{i}] is negative")));
        }
        if denominators.iter().sum::<f64>() <= 0.0 {
            return Err(Error::invalid(format!("all {name} are 0, so the ratio is not defined")));
        }
        Ok(Self { numerators, denominators })
    }

    /// The ratio over the clusters `chosen`, each as often as it comes up; `None` if the denominator is 0.
    pub(super) fn ratio(&self, chosen: impl Iterator<Item = usize>) -> Option<f64> {
        let (mut numerator, mut denominator) = (0.0, 0.0);
        for cluster in chosen {
            numerator += self.numerators[cluster];
            denominator += self.denominators[cluster];
        }
        divide(numerator, denominator)
    }

    /// The ratios without the first cluster, without the second, ...; `None` where the denominator is 0.
    pub(super) fn jackknife(&self) -> impl Iterator<Item = Option<f64>> {
        let numerator: f64 = self.numerators.iter().sum();
        let denominator: f64 = self.denominators.iter().sum();
        let pairs = self.numerators.iter().zip(&self.denominators);
        pairs.map(move |(its_numerator, its_denominator)| {
            divide(numerator - its_numerator, denominator - its_denominator)
        })
    }
}

/// The quotient, or `None` for a denominator of 0.
pub(super) fn divide(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}
