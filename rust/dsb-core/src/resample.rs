//! Resampling statistics over clusters (videos): bootstrap intervals and permutation tests.
//!
//! Items of one cluster are not independent, so clusters are what is drawn (Cameron, Gelbach & Miller 2008,
//! "Bootstrap-based improvements for inference with clustered errors"). Items are summed per cluster first; a
//! replicate then costs O(clusters). Random numbers are counter-based: a replicate depends on the seed and its own
//! number alone, so any order and any split over threads gives the same bits.
//!
//! [`Bootstrap`] is for one number, [`Curve`] for many ratios over the same draws (a threshold sweep), [`SignFlip`]
//! tests a mean difference and [`Swap`] the differences of ratios or curves.

mod cluster;
mod curve;
mod interval;
mod normal;
mod quantile;
mod random;
mod ratio;
mod sign_flip;
mod signs;
mod swap;

use std::ops::Range;

use crate::error::{Error, Result};
use cluster::Clusters;
pub use curve::{Bands, Curve};
pub use interval::{Interval, Method};
use quantile::Ranked;
pub use ratio::Items;
use ratio::Sums;
pub use sign_flip::SignFlip;
pub use swap::{PValue, Swap};

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
        let clusters = Clusters::new(clusters)?;
        let statistic = Statistic::Ratio(Sums::new("", items, &clusters)?);
        Ok(Self { statistic, clusters: clusters.count, seed })
    }

    /// Bootstrap of `ratio(a) - ratio(b)`.
    /// Fails as [`Bootstrap::ratio`] does.
    pub fn difference(a: Items<'_>, b: Items<'_>, clusters: &[i64], seed: u64) -> Result<Self> {
        let clusters = Clusters::new(clusters)?;
        let (a, b) = (Sums::new(" of a", a, &clusters)?, Sums::new(" of b", b, &clusters)?);
        Ok(Self { statistic: Statistic::Difference(a, b), clusters: clusters.count, seed })
    }

    /// Bootstrap of the `q`-quantile of `values`, interpolated linearly between order statistics.
    /// [`Error::Invalid`] if there are no values, lengths differ, a value is not finite or `q` is outside [0, 1].
    pub fn quantile(values: &[f64], clusters: &[i64], q: f64, seed: u64) -> Result<Self> {
        let clusters = Clusters::new(clusters)?;
        clusters.sum("values", values)?;
        let ranked = Ranked::new(values, &clusters.of_item, clusters.count, q)?;
        Ok(Self { statistic: Statistic::Quantile(ranked), clusters: clusters.count, seed })
    }

    /// The statistic of the items themselves.
    pub fn value(&self) -> f64 {
        // Not NaN: the denominators were found to be positive.
        self.statistic(|| 0..self.clusters).unwrap_or(f64::NAN)
    }

    /// The statistic of one resample, or `None` if its denominator is 0.
    pub fn replicate(&self, number: u64) -> Option<f64> {
        self.statistic(|| random::draws(self.seed, number, self.clusters))
    }

    /// The statistics of the replicates in `numbers`, without those whose denominator is 0.
    pub fn replicates(&self, numbers: Range<u64>) -> Vec<f64> {
        numbers.filter_map(|number| self.replicate(number)).collect()
    }

    /// The interval that `replicates` give at `level`, interpolated linearly between order statistics.
    /// [`Error::Invalid`] if `level` is not inside (0, 1), no replicate is left, or a quantile is to have a BCa
    /// interval: the jackknife, which gives the acceleration, fails for them (Efron 1979, "Bootstrap methods: another look at the
    /// jackknife").
    pub fn interval(&self, replicates: Vec<f64>, level: f64, method: Method) -> Result<Interval> {
        interval::check_level(level)?;
        let acceleration = match method {
            Method::Percentile => None,
            Method::Bca => Some(self.acceleration()?),
        };
        Interval::new(self.value(), replicates, level, acceleration)
    }

    /// All of it at once.
    /// [`Error::Invalid`] if `replicates` is 0, and as [`Bootstrap::interval`].
    pub fn run(&self, replicates: u64, level: f64, method: Method) -> Result<Interval> {
        interval::check_level(level)?;
        self.interval(self.replicates(0..replicates), level, method)
    }

    fn acceleration(&self) -> Result<f64> {
        match &self.statistic {
            Statistic::Ratio(sums) => Ok(interval::acceleration(sums.jackknife())),
            Statistic::Difference(a, b) => Ok(curve::paired_acceleration(a, b)),
            Statistic::Quantile(_) => {
                Err(Error::invalid("a quantile has no BCa interval; use the percentile method"))
            }
        }
    }

    fn statistic<I: Iterator<Item = usize>>(&self, chosen: impl Fn() -> I) -> Option<f64> {
        match &self.statistic {
            Statistic::Ratio(sums) => sums.ratio(chosen()),
            Statistic::Difference(a, b) => Some(a.ratio(chosen())? - b.ratio(chosen())?),
            Statistic::Quantile(ranked) => ranked.quantile(chosen()),
        }
    }
}
