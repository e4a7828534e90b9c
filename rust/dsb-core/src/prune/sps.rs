//! The few fields of a sequence parameter set that decide whether pictures may be left out: ITU-T H.264 (08/2021)
//! 7.3.2.1.1 and E.1, H.265 (08/2021) 7.3.2.2.1.

/// What a sequence parameter set allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    /// Pictures may be fields.
    pub(super) interlaced: bool,
    /// Frame numbers may jump, so a missing reference is not told from one that never was.
    pub(super) gaps: bool,
    /// Largest number of pictures that precede another one in decoding order and follow it in output order, if it
    /// is stated. Without it a decoder learns it from the pictures that it gets.
    pub(super) reorder: Option<u32>,
    /// Slice headers name a colour plane.
    pub(super) separate_planes: bool,
    /// Bits of a frame number; none in HEVC.
    pub(super) frame_number_bits: u32,
    /// Bits of a picture order count that slice headers hold; `None` if pictures are shown as they are decoded.
    pub(super) count_bits: Option<u32>,
}

impl Sps {
    /// Reads a NAL unit of HEVC, which always states how far pictures are out of order; the rest is said in other
    /// places.
    pub(super) fn read_hevc(unit: &[u8]) -> Option<Self> {
        let (header, rest) = unit.split_at_checked(2)?;
        if header[0] >> 1 & 63 != HEVC_SPS {
            return None;
        }
        let mut bits = Bits::new(rest);
        bits.take(4)?;
        let layers = bits.take(3)?;
        bits.take(1)?;
        skip_profile(&mut bits, layers)?;
        bits.ue()?;
        let separate_planes = bits.ue()? == 3 && bits.flag()?;
        bits.ue()?;
        bits.ue()?;
        if bits.flag()? {
            (0..4).try_for_each(|_| bits.ue().map(drop))?;
        }
        (0..2).try_for_each(|_| bits.ue().map(drop))?;
        let count_bits = Some(counter_bits(&mut bits)?);
        let stated = if bits.flag()? { layers + 1 } else { 1 };
        let mut reorder = None;
        for _ in 0..stated {
            bits.ue()?;
            // The last one is that of the highest sub-layer.
            reorder = Some(bits.ue()?);
            bits.ue()?;
        }
        let (interlaced, gaps, frame_number_bits) = (false, false, 0);
        Some(Self { interlaced, gaps, reorder, separate_planes, frame_number_bits, count_bits })
    }

    /// Reads a NAL unit of H.264; `None` if it is none of this kind, ends early or is not valid.
    pub(super) fn read(unit: &[u8]) -> Option<Self> {
        let (header, rest) = unit.split_first()?;
        if header & 31 != 7 {
            return None;
        }
        let mut bits = Bits::new(rest);
        let profile = bits.take(8)?;
        bits.take(16)?;
        bits.ue()?;
        let high = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
        let separate_planes = high.contains(&profile) && skip_chroma(&mut bits)?;
        let frame_number_bits = counter_bits(&mut bits)?;
        let count_bits = match bits.ue()? {
            0 => Some(counter_bits(&mut bits)?),
            2 => None,
            // Type 1 predicts the order from frame numbers; hardly any encoder uses it.
            _ => return None,
        };
        bits.ue()?;
        let gaps = bits.flag()?;
        bits.ue()?;
        bits.ue()?;
        let interlaced = !bits.flag()?;
        bits.take(u32::from(interlaced) + 1)?;
        if bits.flag()? {
            (0..4).try_for_each(|_| bits.ue().map(drop))?;
        }
        let stated = bits.flag()? && skip_to_restriction(&mut bits)?;
        let reorder = if stated { Some(reorder(&mut bits)?) } else { None };
        Some(Self { interlaced, gaps, reorder, separate_planes, frame_number_bits, count_bits })
    }
}

/// NAL unit type of a sequence parameter set of HEVC.
pub(super) const HEVC_SPS: u8 = 33;

/// H.265 7.3.3, with `layers` sub-layers below the highest.
fn skip_profile(bits: &mut Bits, layers: u32) -> Option<()> {
    const PROFILE: u32 = 88;
    const LEVEL: u32 = 8;
    bits.skip(PROFILE + LEVEL)?;
    let mut left = 0;
    for _ in 0..layers {
        left += if bits.flag()? { PROFILE } else { 0 };
        left += if bits.flag()? { LEVEL } else { 0 };
    }
    if layers > 0 {
        bits.skip(2 * (8 - layers))?;
    }
    bits.skip(left)
}

/// The number of bits of a counter, which is coded without the 4 that each has at least, and is at most 16.
fn counter_bits(bits: &mut Bits) -> Option<u32> {
    bits.ue().filter(|more| *more <= 12).map(|more| more + 4)
}

/// Skips the format of the samples, and tells whether colour planes are separate.
fn skip_chroma(bits: &mut Bits) -> Option<bool> {
    let chroma = bits.ue()?;
    let separate_planes = chroma == 3 && bits.flag()?;
    bits.ue()?;
    bits.ue()?;
    bits.take(1)?;
    if bits.flag()? {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(separate_planes)
}

/// H.264 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits, size: usize) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Skips usability information up to the bitstream restriction, and tells whether there is one.
fn skip_to_restriction(bits: &mut Bits) -> Option<bool> {
    if bits.flag()? && bits.take(8)? == 255 {
        bits.take(32)?;
    }
    if bits.flag()? {
        bits.take(1)?;
    }
    if bits.flag()? {
        bits.take(4)?;
        if bits.flag()? {
            bits.take(24)?;
        }
    }
    if bits.flag()? {
        bits.ue()?;
        bits.ue()?;
    }
    if bits.flag()? {
        bits.take(32)?;
        bits.take(32)?;
        bits.take(1)?;
    }
    let mut timed = false;
    for _ in ["NAL", "VCL"] {
        if bits.flag()? {
            timed = true;
            skip_reference_decoder(bits)?;
        }
    }
    if timed {
        bits.take(1)?;
    }
    bits.take(1)?;
    bits.flag()
}

/// `max_num_reorder_frames` of a bitstream restriction.
fn reorder(bits: &mut Bits) -> Option<u32> {
    bits.take(1)?;
    (0..4).try_for_each(|_| bits.ue().map(drop))?;
    bits.ue()
}

/// H.264 E.1.2.
fn skip_reference_decoder(bits: &mut Bits) -> Option<()> {
    let count = bits.ue().filter(|count| *count <= 31)?;
    bits.take(8)?;
    for _ in 0..=count {
        bits.ue()?;
        bits.ue()?;
        bits.take(1)?;
    }
    bits.take(20).map(drop)
}

/// A NAL unit without the bytes that keep start codes out of it: H.264 7.3.1.
pub(super) fn unescaped(unit: &[u8]) -> Vec<u8> {
    let (mut bytes, mut zeros) = (Vec::with_capacity(unit.len()), 0);
    for byte in unit {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        bytes.push(*byte);
    }
    bytes
}

/// The bits of a unit, most significant first; `None` after its end.
pub(super) struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    pub(super) fn new(unit: &[u8]) -> Self {
        Self { bytes: unescaped(unit), at: 0 }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.take(1).map(drop))
    }

    /// The next `count <= 32` bits.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// Exp-Golomb code, H.264 9.1.
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        self.take(zeros).map(|rest| (1_u32 << zeros) - 1 + rest)
    }

    /// Signed Exp-Golomb code, H.264 9.1.1.
    fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_count_from_zero() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let codes: Vec<_> = (0..5).map_while(|_| bits.ue()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4]);
        assert_eq!(bits.ue(), None);
    }

    #[test]
    fn bytes_that_keep_start_codes_out_are_no_data() {
        let mut bits = Bits::new(&[0, 0, 3, 1, 0, 0, 3]);
        assert_eq!(bits.take(24), Some(1));
        assert_eq!(bits.take(16), Some(0));
        assert_eq!(bits.take(1), None);
    }
}
