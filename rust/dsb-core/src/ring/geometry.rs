//! How many records a ring holds and how far apart they lie.

use crate::error::{Error, Result};
use crate::time::gcd;

/// Padded records lie on multiples of this, which divides every page size.
const PADDING: usize = 256;
/// Rounding the capacity up may always cost this much memory.
const SPARE_BYTES: u128 = 1 << 20;

/// Sizes of a ring whose memory is a whole number of pages.
///
/// **Invariants**: `record <= stride`; `capacity * stride` is a multiple of the granularity and fits `isize`
/// twice; `capacity` is the smallest such number that is not below the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a record.
    pub record: usize,
    /// Bytes from one record to the next.
    pub stride: usize,
    /// Records in the ring.
    pub capacity: usize,
}

impl Geometry {
    /// Plans a ring of at least `wish` records of `record` bytes in memory of this granularity.
    ///
    /// Records lie back to back, so that a window is contiguous, unless rounding the capacity up to whole pages
    /// would more than double the memory (frames of odd sizes need up to one page's worth of records); then each
    /// record is padded to a multiple of 256 bytes and a window becomes a strided view.
    pub fn plan(record: usize, wish: usize, granularity: usize) -> Result<Self> {
        if record == 0 || wish == 0 {
            return Err(Error::invalid("a ring needs at least one record of at least one byte"));
        }
        let tight = Self::rounded(record, record, wish, granularity);
        let cost = |geometry: &Self| geometry.stride as u128 * geometry.capacity as u128;
        let asked = record as u128 * wish as u128;
        let best = tight.filter(|tight| cost(tight) <= (2 * asked).max(asked + SPARE_BYTES));
        let padded = || {
            let stride = record.checked_next_multiple_of(PADDING)?;
            Self::rounded(record, stride, wish, granularity)
        };
        best.or_else(padded).filter(|plan| cost(plan) <= isize::MAX as u128 / 2).ok_or_else(|| {
            Error::invalid(format!("{wish} records of {record} bytes do not fit the address space"))
        })
    }

    fn rounded(record: usize, stride: usize, wish: usize, granularity: usize) -> Option<Self> {
        let quantum = granularity / usize::try_from(gcd(stride as u64, granularity as u64)).ok()?;
        Some(Self { record, stride, capacity: wish.checked_next_multiple_of(quantum)? })
    }
}
