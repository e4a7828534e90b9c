//! Many ratios over the same draws of clusters, and bands around them.

use std::ops::Range;

use super::cluster::Clusters;
use super::interval::{self, Interval, Method};
use super::random;
use super::ratio::{Items, Sums, divide};
use crate::error::{Error, Result};

/// A clustered bootstrap of a curve: one ratio, or one difference of ratios paired by item, at each of its points.
/// One draw of clusters evaluates all points, so that the band knows how they move together.
#[derive(Clone, Debug)]
pub struct Curve {
    /// One row per cluster: the numerators of all points, then the denominators; of a difference, both twice.
    rows: Vec<f64>,
    points: usize,
    paired: bool,
    clusters: usize,
    seed: u64,
    values: Vec<f64>,
    accelerations: Vec<f64>,
}

/// What surrounds a curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Bands {
    /// At each point its own interval.
    pub points: Vec<Interval>,
    /// At each point the ends of a band that holds the whole curve with the given level: `value -+ c * standard_error`
    /// with the quantile c of the largest standardised deviation ("sup-t", Montiel Olea & Plagborg-Moller 2019).
    pub simultaneous: Vec<(f64, f64)>,
}

impl Curve {
    /// Bootstrap of `ratio(a[p])` at each point p; or of `ratio(a[p]) - ratio(b[p])`, if there is a `b`.
    /// [`Error::Invalid`] if there are no points or no items, `b` has other points than `a`, lengths differ, a number
    /// is not finite, a denominator is negative, or all denominators of a point are 0.
    pub fn new(
        a: &[Items<'_>],
        b: Option<&[Items<'_>]>,
        clusters: &[i64],
        seed: u64,
    ) -> Result<Self> {
        check_points(a, b)?;
        let clusters = Clusters::new(clusters)?;
        let a = sums(if b.is_some() { " of a" } else { "" }, a, &clusters)?;
        let b = b.map(|b| sums(" of b", b, &clusters)).transpose()?;
        let mut curve = Self {
            rows: rows(&a, b.as_deref(), clusters.count),
            points: a.len(),
            paired: b.is_some(),
            clusters: clusters.count,
            seed,
            values: Vec::new(),
            accelerations: Vec::new(),
        };
        curve.values = curve.evaluate(0..clusters.count).collect();
        curve.accelerations = match b {
            None => a.iter().map(|a| interval::acceleration(a.jackknife())).collect(),
            Some(b) => a.iter().zip(&b).map(|(a, b)| paired_acceleration(a, b)).collect(),
        };
        Ok(curve)
    }

    /// Number of points.
    pub fn points(&self) -> usize {
        self.points
    }

    /// The curve of the items themselves.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The curves of the replicates in `numbers`, one after another; NaN where a denominator is 0.
    pub fn replicates(&self, numbers: Range<u64>) -> Vec<f64> {
        let draws = |number| self.evaluate(random::draws(self.seed, number, self.clusters));
        numbers.flat_map(draws).collect()
    }

    /// Bands at `level` from the curves that [`replicates`](Self::replicates) returned.
    /// [`Error::Invalid`] if `level` is not inside (0, 1), `replicates` do not hold whole curves, or none is left at a
    /// point.
    pub fn bands(&self, replicates: &[f64], level: f64, method: Method) -> Result<Bands> {
        interval::check_level(level)?;
        if !replicates.len().is_multiple_of(self.points) {
            let cause = format!("{} numbers are no curves of {}", replicates.len(), self.points);
            return Err(Error::invalid(cause));
        }
        let point = |p: usize| {
            let column = replicates.iter().skip(p).step_by(self.points);
            let defined = column.copied().filter(|value| !value.is_nan()).collect();
            let acceleration = (method == Method::Bca).then_some(self.accelerations[p]);
            Interval::new(self.values[p], defined, level, acceleration)
        };
        let points: Vec<Interval> = (0..self.points).map(point).collect::<Result<_>>()?;
        let mut largest: Vec<f64> = replicates
            .chunks_exact(self.points)
            .map(|curve| largest_deviation(curve, &points))
            .collect();
        largest.sort_unstable_by(f64::total_cmp);
        let critical = interval::percentile(&largest, level);
        let end = |point: &Interval| {
            let half = critical * point.standard_error;
            (point.value - half, point.value + half)
        };
        let simultaneous = points.iter().map(end).collect();
        Ok(Bands { points, simultaneous })
    }

    /// All of it at once.
    /// [`Error::Invalid`] if `replicates` is 0, and as [`Curve::bands`].
    pub fn run(&self, replicates: u64, level: f64, method: Method) -> Result<Bands> {
        interval::check_level(level)?;
        self.bands(&self.replicates(0..replicates), level, method)
    }

    fn evaluate(&self, chosen: impl Iterator<Item = usize>) -> impl Iterator<Item = f64> {
        let points = self.points;
        let width = self.rows.len() / self.clusters;
        let mut totals = vec![0.0; width];
        for cluster in chosen {
            let row = &self.rows[cluster * width..][..width];
            totals.iter_mut().zip(row).for_each(|(total, value)| *total += value);
        }
        let paired = self.paired;
        (0..points).map(move |p| {
            let ratio = |at: usize| divide(totals[at + p], totals[at + points + p]);
            let value =
                if paired { ratio(0).zip(ratio(2 * points)).map(|(a, b)| a - b) } else { ratio(0) };
            value.unwrap_or(f64::NAN)
        })
    }
}

/// [`Error::Invalid`] if there are no points, or `b` has other points than `a`.
pub(super) fn check_points(a: &[Items<'_>], b: Option<&[Items<'_>]>) -> Result<()> {
    if a.is_empty() {
        return Err(Error::invalid("a curve needs at least one point"));
    }
    match b {
        Some(b) if b.len() != a.len() => {
            Err(Error::invalid(format!("a has {} points, b has {}", a.len(), b.len())))
        }
        _ => Ok(()),
    }
}

/// The sums of each point. Messages name the point.
pub(super) fn sums(whose: &str, points: &[Items<'_>], clusters: &Clusters) -> Result<Vec<Sums>> {
    let named = |(p, items): (usize, &Items<'_>)| {
        Sums::new(&format!("{whose} at point {p}"), *items, clusters)
    };
    points.iter().enumerate().map(named).collect()
}

fn rows(a: &[Sums], b: Option<&[Sums]>, clusters: usize) -> Vec<f64> {
    let of = |cluster: usize| {
        [Some(a), b].into_iter().flatten().flat_map(move |curve| {
            let numerators = curve.iter().map(move |sums| sums.numerators[cluster]);
            numerators.chain(curve.iter().map(move |sums| sums.denominators[cluster]))
        })
    };
    (0..clusters).flat_map(of).collect()
}

/// How many standard errors a replicate of the curve is away from it where it is farthest away.
fn largest_deviation(curve: &[f64], points: &[Interval]) -> f64 {
    let deviations = curve.iter().zip(points).map(|(value, point)| {
        let deviation = (value - point.value).abs() / point.standard_error;
        if deviation.is_finite() { deviation } else { 0.0 }
    });
    deviations.fold(0.0, f64::max)
}

pub(super) fn paired_acceleration(a: &Sums, b: &Sums) -> f64 {
    let pairs = a.jackknife().zip(b.jackknife());
    interval::acceleration(pairs.map(|(a, b)| Some(a? - b?)))
}
