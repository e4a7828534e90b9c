//! `Interval`, `Curve`, `bootstrap_ratio`, `bootstrap_difference`, `bootstrap_quantile`, `bootstrap_curve`, `sign_flip`,
//! `swap_test`.

use std::task::Poll;

use dsb_core::resample::{self, Bands, Bootstrap, Items, Method, SignFlip, Swap};
use pyo3::prelude::*;

use crate::arguments::{Column, Natural, spelled};
use crate::door::detached;
use crate::error::raise;

/// Replicates between two looks for Ctrl-C.
const BATCH: u64 = 1_000;

const METHODS: [(&str, Method); 2] = [("percentile", Method::Percentile), ("bca", Method::Bca)];

/// Numerators and denominators.
type Ratio = (Column<f64>, Column<f64>);

/// A point estimate with its bootstrap interval.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct Interval(resample::Interval);

#[pymethods]
impl Interval {
    #[getter]
    fn value(&self) -> f64 {
        self.0.value
    }

    #[getter]
    fn low(&self) -> f64 {
        self.0.low
    }

    #[getter]
    fn high(&self) -> f64 {
        self.0.high
    }

    #[getter]
    fn standard_error(&self) -> f64 {
        self.0.standard_error
    }

    fn __repr__(&self) -> String {
        let resample::Interval { value, low, high, standard_error } = self.0;
        format!("Interval({value:.6} in [{low:.6}, {high:.6}], standard_error={standard_error:.6})")
    }
}

/// A curve with intervals and a band.
#[pyclass(frozen, module = "dsb._core")]
pub(crate) struct Curve(Bands);

#[pymethods]
impl Curve {
    #[getter]
    fn points(&self) -> Vec<Interval> {
        self.0.points.iter().map(|&point| Interval(point)).collect()
    }

    #[getter]
    fn band(&self) -> Vec<(f64, f64)> {
        self.0.simultaneous.clone()
    }

    fn __len__(&self) -> usize {
        self.0.points.len()
    }

    fn __repr__(&self) -> String {
        format!("Curve({} points)", self.0.points.len())
    }
}

/// Interval of `sum(numerators) / sum(denominators)`, whole clusters resampled.
#[pyfunction]
#[pyo3(
    signature = (
        numerators, denominators, clusters, *, replicates = Natural(10_000), level = 0.95, seed = Natural(0),
        method = "percentile"
    ),
    text_signature = "(numerators, denominators, clusters, *, replicates=10000, level=0.95, seed=0, \
                      method='percentile')"
)]
#[allow(clippy::too_many_arguments, reason = "keyword arguments")]
pub(crate) fn bootstrap_ratio(
    py: Python<'_>,
    numerators: Column<f64>,
    denominators: Column<f64>,
    clusters: Column<i64>,
    replicates: Natural,
    level: f64,
    seed: Natural,
    method: &str,
) -> PyResult<Interval> {
    let method = spelled("method", method, &METHODS)?;
    let ratio = (numerators, denominators);
    let bootstrap = Bootstrap::ratio(items(&ratio), &clusters.0, seed.0).map_err(raise)?;
    run(py, &bootstrap, replicates.0, level, method)
}

/// Interval of the difference of two ratios, paired by item.
#[pyfunction]
#[pyo3(
    signature = (
        a, b, clusters, *, replicates = Natural(10_000), level = 0.95, seed = Natural(0), method = "percentile"
    ),
    text_signature = "(a, b, clusters, *, replicates=10000, level=0.95, seed=0, method='percentile')"
)]
#[allow(clippy::too_many_arguments, reason = "keyword arguments")]
pub(crate) fn bootstrap_difference(
    py: Python<'_>,
    a: Ratio,
    b: Ratio,
    clusters: Column<i64>,
    replicates: Natural,
    level: f64,
    seed: Natural,
    method: &str,
) -> PyResult<Interval> {
    let method = spelled("method", method, &METHODS)?;
    let bootstrap =
        Bootstrap::difference(items(&a), items(&b), &clusters.0, seed.0).map_err(raise)?;
    run(py, &bootstrap, replicates.0, level, method)
}

/// Percentile interval of a quantile, whole clusters resampled.
#[pyfunction]
#[pyo3(
    signature = (values, clusters, q, *, replicates = Natural(10_000), level = 0.95, seed = Natural(0)),
    text_signature = "(values, clusters, q, *, replicates=10000, level=0.95, seed=0)"
)]
pub(crate) fn bootstrap_quantile(
    py: Python<'_>,
    values: Column<f64>,
    clusters: Column<i64>,
    q: f64,
    replicates: Natural,
    level: f64,
    seed: Natural,
) -> PyResult<Interval> {
    let bootstrap = Bootstrap::quantile(&values.0, &clusters.0, q, seed.0).map_err(raise)?;
    run(py, &bootstrap, replicates.0, level, Method::Percentile)
}

/// Intervals and a simultaneous band of many ratios, or differences of ratios, over the same draws.
#[pyfunction]
#[pyo3(
    signature = (
        a, clusters, *, b = None, replicates = Natural(10_000), level = 0.95, seed = Natural(0), method = "percentile"
    ),
    text_signature = "(a, clusters, *, b=None, replicates=10000, level=0.95, seed=0, method='percentile')"
)]
#[allow(clippy::too_many_arguments, reason = "keyword arguments")]
pub(crate) fn bootstrap_curve(
    py: Python<'_>,
    a: Vec<Ratio>,
    clusters: Column<i64>,
    b: Option<Vec<Ratio>>,
    replicates: Natural,
    level: f64,
    seed: Natural,
    method: &str,
) -> PyResult<Curve> {
    let method = spelled("method", method, &METHODS)?;
    let a: Vec<Items<'_>> = a.iter().map(items).collect();
    let b: Option<Vec<Items<'_>>> = b.as_ref().map(|b| b.iter().map(items).collect());
    let curve = resample::Curve::new(&a, b.as_deref(), &clusters.0, seed.0).map_err(raise)?;
    let (total, mut done) = (replicates.0, 0);
    let mut replicates = Vec::new();
    detached(py, |_| {
        let stop = total.min(done + BATCH);
        replicates.extend(curve.replicates(done..stop));
        done = stop;
        if done < total {
            return Ok(Poll::Pending);
        }
        curve.bands(&replicates, level, method).map(|bands| Poll::Ready(Curve(bands)))
    })
}

/// Two-sided p-value that the mean difference is 0, signs flipped per cluster.
#[pyfunction]
#[pyo3(
    signature = (differences, clusters, *, permutations = Natural(10_000), seed = Natural(0)),
    text_signature = "(differences, clusters, *, permutations=10000, seed=0)"
)]
pub(crate) fn sign_flip(
    py: Python<'_>,
    differences: Column<f64>,
    clusters: Column<i64>,
    permutations: Natural,
    seed: Natural,
) -> PyResult<f64> {
    let test = SignFlip::new(&differences.0, &clusters.0, permutations.0, seed.0).map_err(raise)?;
    let (mut done, mut extreme) = (0, 0);
    detached(py, |_| {
        let stop = test.permutations().min(done + BATCH);
        extreme += test.extreme(done..stop);
        done = stop;
        if done < test.permutations() {
            return Ok(Poll::Pending);
        }
        Ok(Poll::Ready(test.p_value(extreme)))
    })
}

/// P-values that ratios are equal, sides exchanged per cluster: alone, and adjusted for their number.
#[pyfunction]
#[pyo3(
    signature = (a, b, clusters, *, permutations = Natural(10_000), seed = Natural(0)),
    text_signature = "(a, b, clusters, *, permutations=10000, seed=0)"
)]
pub(crate) fn swap_test(
    py: Python<'_>,
    a: Vec<Ratio>,
    b: Vec<Ratio>,
    clusters: Column<i64>,
    permutations: Natural,
    seed: Natural,
) -> PyResult<Vec<(f64, f64)>> {
    let a: Vec<Items<'_>> = a.iter().map(items).collect();
    let b: Vec<Items<'_>> = b.iter().map(items).collect();
    let test = Swap::new(&a, &b, &clusters.0, permutations.0, seed.0).map_err(raise)?;
    let mut done = 0;
    let mut differences = Vec::new();
    detached(py, |_| {
        let stop = test.permutations().min(done + BATCH);
        differences.extend(test.differences(done..stop));
        done = stop;
        if done < test.permutations() {
            return Ok(Poll::Pending);
        }
        let p_values = test.p_values(&differences)?;
        Ok(Poll::Ready(p_values.iter().map(|p| (p.alone, p.adjusted)).collect()))
    })
}

fn items(ratio: &Ratio) -> Items<'_> {
    Items { numerators: &ratio.0.0, denominators: &ratio.1.0 }
}

fn run(
    py: Python<'_>,
    bootstrap: &Bootstrap,
    total: u64,
    level: f64,
    method: Method,
) -> PyResult<Interval> {
    let mut done = 0;
    let mut replicates = Vec::new();
    detached(py, |_| {
        let stop = total.min(done + BATCH);
        replicates.extend(bootstrap.replicates(done..stop));
        done = stop;
        if done < total {
            return Ok(Poll::Pending);
        }
        let interval = bootstrap.interval(std::mem::take(&mut replicates), level, method)?;
        Ok(Poll::Ready(Interval(interval)))
    })
}
