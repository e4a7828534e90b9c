//! Which item lies in which cluster, and sums over clusters.
#![allow(clippy::cast_precision_loss)] // Counts of clusters stay far below 2^53.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// The position of each item's cluster among the distinct clusters in ascending order.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    pub(super) of_item: Vec<usize>,
    pub(super) count: usize,
}

impl Clusters {
    /// [`Error::Invalid`] if there is no item.
    pub(super) fn new(labels: &[i64]) -> Result<Self> {
        if labels.is_empty() {
            return Err(Error::invalid("there are no items to resample"));
        }
        let mut positions: BTreeMap<i64, usize> = labels.iter().map(|&label| (label, 0)).collect();
        positions.values_mut().enumerate().for_each(|(position, value)| *value = position);
        let of_item = labels.iter().map(|label| positions[label]).collect();
        Ok(Self { of_item, count: positions.len() })
    }

    /// Sums of `values` over each cluster.
    /// [`Error::Invalid`] if there is not one value per item, a value is not finite, or sums of them are not.
    pub(super) fn sum(&self, name: &str, values: &[f64]) -> Result<Vec<f64>> {
        if values.len() != self.of_item.len() {
            let lengths = (values.len(), self.of_item.len());
            return Err(Error::invalid(format!("{} {name} for {} clusters", lengths.0, lengths.1)));
        }
        if let Some(i) = values.iter().position(|value| !value.is_finite()) {
            let cause = format!("{name}[{i}] is {}, not a finite number", values[i]);
            return Err(Error::invalid(cause));
        }
        let mut sums = vec![0.0; self.count];
        for (&value, &cluster) in values.iter().zip(&self.of_item) {
            sums[cluster] += value;
        }
        // A resample may hold the largest cluster in every place.
        let largest = sums.iter().fold(0.0, |largest: f64, sum| largest.max(sum.abs()));
        if !(largest * self.count as f64).is_finite() {
            return Err(Error::invalid(format!("{name} are too large to be summed")));
        }
        Ok(sums)
    }
}
