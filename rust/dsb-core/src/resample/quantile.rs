//! The quantile of a resample of whole clusters, without building the resample.
#![allow(clippy::cast_precision_loss)] // Counts of items stay far below 2^53.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Floats become ranks.

use crate::error::{Error, Result};

/// Items in ascending order of their value, each with the position of its cluster.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    items: Vec<(f64, usize)>,
    /// Number of items of each cluster.
    sizes: Vec<usize>,
    q: f64,
}

impl Ranked {
    /// [`Error::Invalid`] if `q` is outside [0, 1]. `values` are finite and `groups` lie below `clusters`.
    pub(crate) fn new(values: &[f64], groups: &[usize], clusters: usize, q: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&q) {
            return Err(Error::Invalid(format!("q must lie between 0 and 1, got {q}")));
        }
        let mut items: Vec<(f64, usize)> =
            values.iter().copied().zip(groups.iter().copied()).collect();
        items.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut sizes = vec![0; clusters];
        for &(_, cluster) in &items {
            sizes[cluster] += 1;
        }
        Ok(Self { items, sizes, q })
    }

    /// The quantile when the clusters `chosen` are taken, each as often as it comes up (definition 7 of
    /// Hyndman & Fan 1996); `None` if they hold no item.
    pub(crate) fn quantile(&self, chosen: impl Iterator<Item = usize>) -> Option<f64> {
        let mut times = vec![0_usize; self.sizes.len()];
        for cluster in chosen {
            times[cluster] += 1;
        }
        let total: usize = times.iter().zip(&self.sizes).map(|(times, size)| times * size).sum();
        let last = total.checked_sub(1)?;
        let position = self.q * last as f64;
        let rank = position.floor() as usize;
        let (mut passed, mut below) = (0, None);
        for &(value, cluster) in &self.items {
            passed += times[cluster];
            if below.is_none() && passed > rank {
                below = Some(value);
            }
            if passed > (rank + 1).min(last) {
                let below = below.unwrap_or(value);
                return Some(below + (value - below) * position.fract());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Definition 7 on the resample written out.
    fn reference(values: &[f64], groups: &[usize], chosen: &[usize], q: f64) -> Option<f64> {
        let mut all: Vec<f64> = Vec::new();
        for &cluster in chosen {
            let members = values.iter().zip(groups).filter(|&(_, &group)| group == cluster);
            all.extend(members.map(|(value, _)| value));
        }
        all.sort_unstable_by(f64::total_cmp);
        let position = q * all.len().checked_sub(1)? as f64;
        let (below, above) = (all[position.floor() as usize], all[position.ceil() as usize]);
        Some(below + (above - below) * position.fract())
    }

    proptest! {
        #[test]
        fn equals_the_quantile_of_the_resample_written_out(
            items in prop::collection::vec((-9_i32..9, 0_usize..5), 1..40),
            chosen in prop::collection::vec(0_usize..5, 0..8),
            q in 0.0..=1.0_f64,
        ) {
            let values: Vec<f64> = items.iter().map(|item| f64::from(item.0)).collect();
            let groups: Vec<usize> = items.iter().map(|item| item.1).collect();
            let ranked = Ranked::new(&values, &groups, 5, q).unwrap();
            let fast = ranked.quantile(chosen.iter().copied());
            prop_assert_eq!(fast, reference(&values, &groups, &chosen, q));
        }
    }

    #[test]
    fn refuses_a_quantile_outside_the_unit_interval() {
        assert!(Ranked::new(&[1.0], &[0], 1, 1.5).is_err());
        assert!(Ranked::new(&[1.0], &[0], 1, f64::NAN).is_err());
    }
}
