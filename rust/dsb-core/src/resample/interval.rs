//! From replicates to an interval.
#![allow(clippy::cast_precision_loss)] // Counts of replicates stay far below 2^53.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Floats become positions in a slice.

use super::normal;
use crate::error::{Error, Result};

/// How the ends of an interval are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The quantiles of the replicates at both tails (Efron & Tibshirani 1993, chapter 13).
    Percentile,
    /// Tails corrected for bias and for a standard error that changes with the value, BCa (Efron 1987, "Better
    /// bootstrap confidence intervals"; the acceleration from the jackknife over clusters).
    Bca,
}

/// A point estimate with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The statistic of the items themselves.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Standard deviation of the replicates (0 for a single one).
    pub standard_error: f64,
}

impl Interval {
    /// With `acceleration` the interval is BCa, without a percentile interval.
    /// [`Error::Invalid`] if there is no replicate.
    pub(super) fn new(
        value: f64,
        mut replicates: Vec<f64>,
        level: f64,
        acceleration: Option<f64>,
    ) -> Result<Self> {
        if replicates.is_empty() {
            let cause = "no replicate is left: replicates must be at least 1, and not all of them may have drawn \
                         clusters whose denominators are 0";
            return Err(Error::invalid(cause));
        }
        replicates.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - level) / 2.0;
        let tails = match acceleration {
            None => (tail, 1.0 - tail),
            Some(acceleration) => corrected(tail, value, &replicates, acceleration),
        };
        Ok(Self {
            value,
            low: percentile(&replicates, tails.0),
            high: percentile(&replicates, tails.1),
            standard_error: standard_deviation(&replicates),
        })
    }
}

/// [`Error::Invalid`] unless `level` lies inside (0, 1).
pub(super) fn check_level(level: f64) -> Result<()> {
    if 0.0 < level && level < 1.0 {
        return Ok(());
    }
    Err(Error::invalid(format!("level must lie between 0 and 1, got {level}")))
}

/// The tails of a BCa interval. Replicates that equal the value count half, as befits a statistic with few values.
fn corrected(tail: f64, value: f64, sorted: &[f64], acceleration: f64) -> (f64, f64) {
    let below = sorted.partition_point(|&replicate| replicate < value);
    let not_above = sorted.partition_point(|&replicate| replicate <= value);
    let count = sorted.len() as f64;
    let share = (below + not_above) as f64 / (2.0 * count);
    // If all replicates lie on one side, the bias is as large as this many of them can show.
    let bias = normal::quantile(share.clamp(0.5 / count, 1.0 - 0.5 / count));
    let shifted = |probability: f64| {
        let distance = bias + normal::quantile(probability);
        let slope = 1.0 - acceleration * distance;
        if slope <= 0.0 {
            return if distance > 0.0 { 1.0 } else { 0.0 };
        }
        normal::cumulative(bias + distance / slope)
    };
    (shifted(tail), shifted(1.0 - tail))
}

/// The acceleration from the statistics without one cluster each: a sixth of their skewness, sign turned. 0 where it is
/// not defined.
pub(super) fn acceleration(without_one: impl Iterator<Item = Option<f64>>) -> f64 {
    let values: Vec<f64> = without_one.flatten().collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let deviations = values.iter().map(|value| mean - value);
    let (squares, cubes) =
        deviations.fold((0.0, 0.0), |(squares, cubes), d| (squares + d * d, cubes + d * d * d));
    let acceleration = cubes / (6.0 * f64::powf(squares, 1.5));
    if acceleration.is_finite() { acceleration } else { 0.0 }
}

/// Percentile of ascending values with linear interpolation (definition 7 of Hyndman & Fan 1996).
pub(super) fn percentile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

pub(super) fn standard_deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}
