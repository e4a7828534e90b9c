//! `Interval`, `bootstrap_ratio`, `bootstrap_difference`, `bootstrap_quantile`, `sign_flip`.

use std::task::Poll;

use dsb_core::resample::{self, Bootstrap, Items, SignFlip};
use pyo3::prelude::*;

use crate::arguments::Natural;
use crate::door::detached;
use crate::error::raise;

/// Replicates between two looks for Ctrl-C.
const BATCH: u64 = 1_000;

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

/// Percentile interval of `sum(numerators) / sum(denominators)`, whole clusters resampled.
#[pyfunction]
#[pyo3(
    signature = (numerators, denominators, clusters, *, replicates = Natural(10_000), level = 0.95, seed = Natural(0)),
    text_signature = "(numerators, denominators, clusters, *, replicates=10000, level=0.95, seed=0)"
)]
pub(crate) fn bootstrap_ratio(
    py: Python<'_>,
    numerators: Vec<f64>,
    denominators: Vec<f64>,
    clusters: Vec<i64>,
    replicates: Natural,
    level: f64,
    seed: Natural,
) -> PyResult<Interval> {
    let items = Items { numerators: &numerators, denominators: &denominators };
    let bootstrap = Bootstrap::ratio(items, &clusters, seed.0).map_err(raise)?;
    run(py, &bootstrap, replicates.0, level)
}

/// Percentile interval of the difference of two ratios, paired by item.
#[pyfunction]
#[pyo3(
    signature = (a, b, clusters, *, replicates = Natural(10_000), level = 0.95, seed = Natural(0)),
    text_signature = "(a, b, clusters, *, replicates=10000, level=0.95, seed=0)"
)]
pub(crate) fn bootstrap_difference(
    py: Python<'_>,
    a: (Vec<f64>, Vec<f64>),
    b: (Vec<f64>, Vec<f64>),
    clusters: Vec<i64>,
    replicates: Natural,
    level: f64,
    seed: Natural,
) -> PyResult<Interval> {
    let a = Items { numerators: &a.0, denominators: &a.1 };
    let b = Items { numerators: &b.0, denominators: &b.1 };
    let bootstrap = Bootstrap::difference(a, b, &clusters, seed.0).map_err(raise)?;
    run(py, &bootstrap, replicates.0, level)
}

/// Percentile interval of a quantile, whole clusters resampled.
#[pyfunction]
#[pyo3(
    signature = (values, clusters, q, *, replicates = Natural(10_000), level = 0.95, seed = Natural(0)),
    text_signature = "(values, clusters, q, *, replicates=10000, level=0.95, seed=0)"
)]
pub(crate) fn bootstrap_quantile(
    py: Python<'_>,
    values: Vec<f64>,
    clusters: Vec<i64>,
    q: f64,
    replicates: Natural,
    level: f64,
    seed: Natural,
) -> PyResult<Interval> {
    let bootstrap = Bootstrap::quantile(&values, &clusters, q, seed.0).map_err(raise)?;
    run(py, &bootstrap, replicates.0, level)
}

/// Two-sided p-value that the mean difference is 0, signs flipped per cluster.
#[pyfunction]
#[pyo3(
    signature = (differences, clusters, *, permutations = Natural(10_000), seed = Natural(0)),
    text_signature = "(differences, clusters, *, permutations=10000, seed=0)"
)]
pub(crate) fn sign_flip(
    py: Python<'_>,
    differences: Vec<f64>,
    clusters: Vec<i64>,
    permutations: Natural,
    seed: Natural,
) -> PyResult<f64> {
    let test = SignFlip::new(&differences, &clusters, permutations.0, seed.0).map_err(raise)?;
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

fn run(py: Python<'_>, bootstrap: &Bootstrap, total: u64, level: f64) -> PyResult<Interval> {
    let mut done = 0;
    let mut replicates = Vec::new();
    detached(py, |_| {
        let stop = total.min(done + BATCH);
        replicates.extend(bootstrap.replicates(done..stop));
        done = stop;
        if done < total {
            return Ok(Poll::Pending);
        }
        let interval = bootstrap.interval(std::mem::take(&mut replicates), level)?;
        Ok(Poll::Ready(Interval(interval)))
    })
}
