//! Read access to records of a ring.

use std::fmt;

use super::{Shared, bytes_of};
use crate::sync::Arc;
use crate::time::Ns;
use crate::window::Selection;

/// Records of a ring that nobody can overwrite while this value lives.
///
/// Nothing is copied. The lease keeps the ring's memory alive, also after the source is closed. A forgotten lease
/// holds up the writer: a blocking ring waits for it, a dropping ring throws incoming records away.
///
/// **Invariants**: all ids were published when the lease was taken; between the oldest and the newest of them no
/// record is overwritten before the drop.
///
/// ```
/// use dsb_core::{EmbeddingRing, Error, Ns};
///
/// let ring = EmbeddingRing::new(4096, 4)?;
/// for _ in 0..ring.ring().capacity() {
///     ring.push(&[1; 4096], Ns(0))?;
/// }
/// let lease = ring.window(0, 1, 1)?;
/// assert!(matches!(ring.push(&[2; 4096], Ns(9)), Err(Error::Full { .. })));
/// assert_eq!(lease.record(0), Some(&[1; 4096][..]));
///
/// drop(lease);
/// ring.push(&[2; 4096], Ns(9))?;
/// assert_eq!(ring.window(0, 1, 1).err(), Some(Error::Evicted { wanted: 0, oldest: 1 }));
/// # Ok::<(), dsb_core::Error>(())
/// ```
///
/// What was read of it cannot be kept longer:
///
/// ```compile_fail,E0505
/// # let ring = dsb_core::EmbeddingRing::new(4096, 4)?;
/// # ring.push(&[1; 4096], dsb_core::Ns(0))?;
/// let lease = ring.window(0, 1, 1)?;
/// let record = lease.record(0);
/// drop(lease);
/// assert_eq!(record, Some(&[1; 4096][..]));
/// # Ok::<(), dsb_core::Error>(())
/// ```
pub struct Lease {
    shared: Arc<Shared>,
    ids: Selection,
    pts: Box<[Ns]>,
}

impl Lease {
    /// The caller has pinned `ids` in `shared`; the drop takes that pin back.
    pub(super) fn of_pinned(shared: Arc<Shared>, ids: Selection, pts: Box<[Ns]>) -> Self {
        Self { shared, ids, pts }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the lease holds no record.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Ids of the records, ascending.
    pub fn ids(&self) -> &Selection {
        &self.ids
    }

    /// Time stamps of the records.
    pub fn pts(&self) -> &[Ns] {
        &self.pts
    }

    /// Bytes of one record.
    pub fn record_bytes(&self) -> usize {
        self.shared.geometry.record
    }

    /// The `index`-th record; `None` beyond the end.
    pub fn record(&self, index: usize) -> Option<&[u8]> {
        let id = self.ids.get(index)?;
        Some(bytes_of(self, &self.shared, id, 1))
    }

    /// The records, oldest first.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.ids.iter().map(|id| bytes_of(self, &self.shared, id, 1))
    }

    /// One slice from the first byte of the first record to the last byte of the last one, and the distance in
    /// bytes between neighbours; `None` if the records have no common distance (copy them with
    /// [`Lease::to_vec`]).
    pub fn strided(&self) -> Option<(&[u8], usize)> {
        let stride = self.shared.geometry.stride;
        match &self.ids {
            Selection::Packed { lo, hi } if lo == hi => Some((&[], stride)),
            Selection::Packed { lo, hi } => {
                Some((bytes_of(self, &self.shared, *lo, hi - lo), stride))
            }
            Selection::Strided { lo, len, step } => {
                let covered = (len - 1) * step + 1;
                let bytes = bytes_of(self, &self.shared, *lo, covered);
                Some((bytes, stride * usize::try_from(*step).unwrap_or(usize::MAX)))
            }
            Selection::Gather(_) => None,
        }
    }

    /// All records as one slice, if they lie back to back.
    pub fn contiguous(&self) -> Option<&[u8]> {
        let (bytes, distance) = self.strided()?;
        (self.len() <= 1 || distance == self.record_bytes()).then_some(bytes)
    }

    /// A copy of all records, back to back.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(self.len() * self.record_bytes());
        match self.contiguous() {
            Some(bytes) => copy.extend_from_slice(bytes),
            None => self.records().for_each(|record| copy.extend_from_slice(record)),
        }
        copy
    }

    /// BLAKE3 of each record: the first 16 bytes as 32 lower-case hex digits.
    pub fn digests(&self) -> Vec<String> {
        self.records().map(|record| blake3::hash(record).to_hex()[..32].to_owned()).collect()
    }
}

impl Clone for Lease {
    /// A second lease on the same records.
    fn clone(&self) -> Self {
        self.shared.pin_again(&self.ids);
        Self::of_pinned(Arc::clone(&self.shared), self.ids.clone(), self.pts.clone())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.unpin(&self.ids);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("ids", &self.ids).finish_non_exhaustive()
    }
}
