//! In which order a decoder shows pictures, as their slice headers say: picture order counts, H.264 (08/2021) 8.2.1
//! and H.265 (08/2021) 8.3.1.

use super::plan::Picture;
use super::sps::{Bits, Sps};

/// Bytes of a slice that hold all that is read here, even if every code in it is the longest.
pub(super) const SLICE_BYTES: u64 = 64;

/// The place of a picture in the order of output: decoders show a whole period, from one instantaneous refresh to the
/// next, before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    period: u64,
    count: i64,
}

/// Counts the pictures of a stream.
#[derive(Debug, Default)]
pub(super) struct Order {
    period: u64,
    /// Count of the last picture on which later ones are based.
    base: i64,
}

/// What a picture is to the count of those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Instantaneous refresh.
    Refresh,
    /// Later counts are based on it.
    Base,
    Other,
}

impl Order {
    /// The next picture in decoding order, whose count ends in `low`.
    pub(super) fn place(&mut self, sps: &Sps, role: Role, low: u32) -> Place {
        if role == Role::Refresh {
            self.period += 1;
            self.base = 0;
        }
        let count = match sps.count_bits {
            Some(bits) => extended(self.base, low, bits),
            None => self.base + 1,
        };
        if role != Role::Other || sps.count_bits.is_none() {
            self.base = count;
        }
        Place { period: self.period, count }
    }
}

/// The number that ends in the `bits` bits of `low` and is nearest to `base`.
fn extended(base: i64, low: u32, bits: u32) -> i64 {
    let (low, modulus) = (i64::from(low), 1_i64 << bits);
    let base_low = base.rem_euclid(modulus);
    let turns = match low - base_low {
        difference if difference <= -modulus / 2 => modulus,
        difference if difference > modulus / 2 => -modulus,
        _ => 0,
    };
    base - base_low + turns + low
}

/// The coded end of the count of a picture of H.264, from one of its slices: 7.3.3. `None` if it ends early.
pub(super) fn low_h264(slice: &[u8], sps: &Sps) -> Option<u32> {
    let (header, rest) = slice.split_first()?;
    let mut bits = Bits::new(rest);
    for _ in ["first_mb_in_slice", "slice_type", "pic_parameter_set_id"] {
        bits.ue()?;
    }
    bits.take(if sps.separate_planes { 2 } else { 0 })?;
    bits.take(sps.frame_number_bits)?;
    if header & 31 == 5 {
        bits.ue()?;
    }
    bits.take(sps.count_bits.unwrap_or(0))
}

/// The coded end of the count of a picture of HEVC, from its first slice segment: 7.3.6.1. `extra_bits` gives the
/// number of reserved bits by picture parameter set. `None` if it is not the first one or ends early.
pub(super) fn low_hevc(slice: &[u8], sps: &Sps, extra_bits: &[u8; 64]) -> Option<u32> {
    let (header, rest) = slice.split_at_checked(2)?;
    let kind = header[0] >> 1 & 63;
    let mut bits = Bits::new(rest);
    if !bits.flag()? {
        return None;
    }
    if matches!(kind, 16..=23) {
        bits.take(1)?;
    }
    let extra = extra_bits.get(usize::try_from(bits.ue()?).ok()?)?;
    bits.take(u32::from(*extra))?;
    bits.ue()?;
    bits.take(if sps.separate_planes { 2 } else { 0 })?;
    if matches!(kind, 19 | 20) { Some(0) } else { bits.take(sps.count_bits?) }
}

/// The largest number of pictures that are decoded before another one and shown after it, at most 17.
pub(super) fn reorder(pictures: &[Picture]) -> u32 {
    const MOST: usize = 17;
    // The latest pictures so far, the very latest first.
    let mut latest: Vec<i64> = Vec::with_capacity(MOST + 1);
    let mut reorder = 0;
    for picture in pictures {
        let later = latest.iter().take_while(|time| **time > picture.time).count();
        reorder = reorder.max(later);
        latest.insert(later, picture.time);
        latest.truncate(MOST);
    }
    u32::try_from(reorder).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_the_nearest_one_with_the_coded_end() {
        assert_eq!(extended(0, 6, 4), 6);
        assert_eq!(extended(14, 2, 4), 18);
        assert_eq!(extended(18, 14, 4), 14);
        assert_eq!(extended(0, 15, 4), -1);
        assert_eq!(extended(-1, 0, 4), 0);
    }

    #[test]
    fn a_period_is_shown_before_the_next_one() {
        let sps = Sps {
            interlaced: false,
            gaps: false,
            reorder: Some(2),
            separate_planes: false,
            frame_number_bits: 4,
            count_bits: Some(4),
        };
        let mut order = Order::default();
        let places = [
            order.place(&sps, Role::Refresh, 0),
            order.place(&sps, Role::Base, 8),
            order.place(&sps, Role::Other, 4),
            order.place(&sps, Role::Refresh, 0),
        ];
        assert!(places[0] < places[2] && places[2] < places[1] && places[1] < places[3]);
    }
}
