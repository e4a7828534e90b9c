//! How a track's pictures are coded, as its sample description says: ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1.

use super::boxes::Bytes;
use super::obstacle::Obstacle;
use super::sps::{Bits, HEVC_SPS, Sps};

/// How a track's samples are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    Hevc,
}

/// A codec, the parameter sets of its sample description, and the number of bytes of a NAL unit's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) codec: Codec,
    pub(super) sets: Sets,
    pub(super) length_bytes: usize,
}

/// What later slices depend on of the parameter sets so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sets {
    /// The only sequence parameter set, and its unit.
    sequence: Option<(Vec<u8>, Sps)>,
    /// Reserved bits in slice headers of HEVC, by picture parameter set.
    pub(super) extra_bits: [u8; 64],
}

impl Sets {
    const NONE: Self = Self { sequence: None, extra_bits: [0; 64] };

    /// [`Obstacle::SeveralDescriptions`] if there is another one: where size or colours change, filters start anew,
    /// and what they show just before that depends on all pictures.
    pub(super) fn add(
        &mut self,
        unit: &[u8],
        read: fn(&[u8]) -> Option<Sps>,
    ) -> Result<(), Obstacle> {
        let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        match &self.sequence {
            Some((known, _)) if *known == unit[..end] => Ok(()),
            Some(_) => Err(Obstacle::SeveralDescriptions),
            None => {
                let sps = read(unit).ok_or(BAD_SETS)?;
                self.sequence = Some((unit[..end].to_vec(), sps));
                Ok(())
            }
        }
    }

    pub(super) fn sps(&self) -> Result<&Sps, Obstacle> {
        self.sequence.as_ref().map(|(_, sps)| sps).ok_or(BAD_SETS)
    }

    /// Reads an HEVC picture parameter set (H.265 7.3.2.3.1). [`Obstacle::Hidden`] if slices may say that their
    /// picture is not shown.
    pub(super) fn add_hevc_pps(&mut self, unit: &[u8]) -> Result<(), Obstacle> {
        let mut bits = Bits::new(unit.get(2..).ok_or(BAD_SETS)?);
        let mut fields = || {
            let number = usize::try_from(bits.ue()?).ok()?;
            bits.ue()?;
            bits.take(1)?;
            Some((number, bits.flag()?, bits.take(3)?))
        };
        let (number, hidden, extra) = fields().ok_or(BAD_SETS)?;
        if hidden {
            return Err(Obstacle::Hidden);
        }
        *self.extra_bits.get_mut(number).ok_or(BAD_SETS)? = u8::try_from(extra).unwrap_or(0);
        Ok(())
    }
}

impl Coding {
    /// Reads `avcC` (ISO/IEC 14496-15, 5.3.3.1).
    pub(super) fn avc(config: Bytes<'_>) -> Result<Self, Obstacle> {
        let length_bytes = length_bytes(config.u8(4)?)?;
        let count = config.u8(5)? & 0x1f;
        let (mut sets, mut at) = (Sets::NONE, 6);
        for _ in 0..count {
            let unit = sized(config, &mut at)?;
            sets.add(unit, Sps::read)?;
        }
        Ok(Self { codec: Codec::H264, sets, length_bytes })
    }

    /// Reads `hvcC` (ISO/IEC 14496-15, 8.3.3.1).
    pub(super) fn hevc(config: Bytes<'_>) -> Result<Self, Obstacle> {
        let length_bytes = length_bytes(config.u8(21)?)?;
        let (mut sets, mut at) = (Sets::NONE, 23);
        for _ in 0..config.u8(22)? {
            let (kind, count) = (config.u8(at)? & 63, config.u16(at + 1)?);
            at += 3;
            for _ in 0..count {
                let unit = sized(config, &mut at)?;
                match kind {
                    HEVC_SPS => sets.add(unit, Sps::read_hevc)?,
                    HEVC_PPS => sets.add_hevc_pps(unit)?,
                    _ => {}
                }
            }
        }
        Ok(Self { codec: Codec::Hevc, sets, length_bytes })
    }
}

/// NAL unit type of a picture parameter set of HEVC.
pub(super) const HEVC_PPS: u8 = 34;

const BAD_SETS: Obstacle = Obstacle::Tables("the decoder configuration cannot be read");

fn length_bytes(flags: u8) -> Result<usize, Obstacle> {
    match usize::from(flags & 3) + 1 {
        3 => Err(BAD_SETS),
        length => Ok(length),
    }
}

/// The unit behind its 16-bit length.
fn sized<'a>(config: Bytes<'a>, at: &mut usize) -> Result<&'a [u8], Obstacle> {
    let length = usize::from(config.u16(*at)?);
    let unit = config.from(*at + 2)?.0.get(..length).ok_or(BAD_SETS)?;
    *at += 2 + length;
    Ok(unit)
}
