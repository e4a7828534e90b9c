//! What the NAL units of a sample say about it, without decoding: whether anything can refer to it, and whether
//! decoding can start with it. ITU-T H.264 (08/2021) 7.3.1 and 7.4.1; H.265 (08/2021) 7.3.1.2 and table 7-1.

use std::fs::File;

use super::Obstacle;
use super::boxes::{Bytes, read_at};
use super::plan::Picture;
use super::sps::{Bits, HEVC_SPS, Sps, unescaped};
use super::tables::{Sample, Track};

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
    sets: Vec<Sps>,
    length_bytes: usize,
}

impl Coding {
    /// Reads `avcC` (ISO/IEC 14496-15, 5.3.3.1).
    pub(super) fn avc(config: Bytes<'_>) -> Result<Self, Obstacle> {
        let length_bytes = length_bytes(config.u8(4)?)?;
        let count = config.u8(5)? & 0x1f;
        let (mut sets, mut at) = (Vec::new(), 6);
        for _ in 0..count {
            let unit = sized(config, &mut at)?;
            sets.push(Sps::read(unit).ok_or(BAD_SETS)?);
        }
        Ok(Self { codec: Codec::H264, sets, length_bytes })
    }

    /// Reads `hvcC` (ISO/IEC 14496-15, 8.3.3.1).
    pub(super) fn hevc(config: Bytes<'_>) -> Result<Self, Obstacle> {
        let length_bytes = length_bytes(config.u8(21)?)?;
        let (mut sets, mut at) = (Vec::new(), 23);
        for _ in 0..config.u8(22)? {
            let (kind, count) = (config.u8(at)? & 63, config.u16(at + 1)?);
            at += 3;
            for _ in 0..count {
                let unit = sized(config, &mut at)?;
                match kind {
                    HEVC_SPS => sets.push(Sps::read_hevc(unit).ok_or(BAD_SETS)?),
                    HEVC_PPS => all_shown(unit)?,
                    _ => {}
                }
            }
        }
        Ok(Self { codec: Codec::Hevc, sets, length_bytes })
    }
}

const HEVC_PPS: u8 = 34;
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

/// Refuses an HEVC picture parameter set by which slices may say that their picture is not shown: H.265 7.3.2.3.1.
fn all_shown(unit: &[u8]) -> Result<(), Obstacle> {
    let mut bits = Bits::new(unit.get(2..).ok_or(BAD_SETS)?);
    let mut hidden = || {
        bits.ue()?;
        bits.ue()?;
        bits.take(1)?;
        bits.flag()
    };
    if hidden().ok_or(BAD_SETS)? { Err(Obstacle::Hidden) } else { Ok(()) }
}

/// Classifies every sample, in decoding order.
pub(super) fn classify(file: &File, track: &Track) -> Result<Vec<Picture>, Obstacle> {
    let Coding { codec, sets, .. } = &track.coding;
    let (mut sets, mut start) = (sets.clone(), Start::default());
    let mut pictures = Vec::with_capacity(track.samples.len());
    let mut layers = Vec::with_capacity(track.samples.len());
    for sample in &track.samples {
        let units = Units::new(file, &track.coding, sample);
        let traits = match codec {
            Codec::H264 => h264(units, &mut sets)?,
            Codec::Hevc => hevc(units, &mut sets, &mut start)?,
        };
        if pictures.is_empty() && !(sample.sync && traits.entry) {
            return Err(Obstacle::Start);
        }
        layers.push(traits.layer);
        pictures.push(Picture {
            time: track.time(sample),
            discardable: traits.slices && !traits.referred && !traits.fixed,
            starts: traits.slices && traits.refresh,
            fixed: traits.fixed || !traits.slices,
        });
    }
    // A picture that its own sub-layer does not refer to can still be referred to by a higher one.
    let highest = layers.iter().copied().max().unwrap_or(0);
    for (picture, layer) in pictures.iter_mut().zip(layers) {
        picture.discardable &= layer == highest;
    }
    in_order(&sets, &pictures)?;
    Ok(pictures)
}

/// Whether a decoder puts the pictures into the right order whichever of them it gets.
fn in_order(sets: &[Sps], pictures: &[Picture]) -> Result<(), Obstacle> {
    if sets.is_empty() {
        return Err(BAD_SETS);
    }
    if sets.iter().any(|set| set.interlaced) {
        return Err(Obstacle::Interlaced);
    }
    if sets.iter().any(|set| set.gaps) {
        return Err(Obstacle::Layers);
    }
    let stated = sets.iter().map(|set| set.reorder.unwrap_or(0)).min().unwrap_or(0);
    if reorder(pictures) > stated { Err(Obstacle::Reorder) } else { Ok(()) }
}

/// The largest number of pictures that are decoded before another one and shown after it, at most 17.
fn reorder(pictures: &[Picture]) -> u32 {
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

/// What the units of one sample add up to.
#[expect(clippy::struct_excessive_bools, reason = "they are independent")]
struct Traits {
    /// It holds slices.
    slices: bool,
    /// Something may refer to one of them.
    referred: bool,
    /// All of them are of an instantaneous decoding refresh.
    refresh: bool,
    /// Decoding may start here.
    entry: bool,
    /// It holds something that outlives the picture, or something unknown.
    fixed: bool,
    /// Temporal sub-layer.
    layer: u8,
}

const NOTHING: Traits =
    Traits { slices: false, referred: false, refresh: true, entry: true, fixed: false, layer: 0 };

fn h264(mut units: Units<'_>, sets: &mut Vec<Sps>) -> Result<Traits, Obstacle> {
    let mut traits = NOTHING;
    while let Some(unit) = units.next()? {
        let header = unit.head[0];
        match header & 31 {
            kind @ (1 | 5) => {
                traits.slices = true;
                traits.referred |= header & 0x60 != 0;
                traits.refresh &= kind == 5;
            }
            6 => traits.fixed |= !harmless_sei(&units.read(unit)?, 1),
            7 => {
                traits.fixed = true;
                sets.push(Sps::read(&units.read(unit)?).ok_or(BAD_SETS)?);
            }
            // Delimiters and filler.
            9 | 12 => {}
            15 | 20 | 21 => return Err(Obstacle::Layers),
            // Partitions, picture parameter sets, ends of sequences, whatever is not specified.
            _ => traits.fixed = true,
        }
    }
    traits.fixed |= units.broken;
    traits.entry = traits.refresh;
    Ok(traits)
}

/// How many random access pictures an HEVC stream has had.
#[derive(Debug, Default, PartialEq, Eq)]
enum Start {
    #[default]
    Nothing,
    /// One: pictures that refer to what was before it are not shown.
    Fresh,
    Past,
}

fn hevc(mut units: Units<'_>, sets: &mut Vec<Sps>, start: &mut Start) -> Result<Traits, Obstacle> {
    let mut traits = NOTHING;
    while let Some(unit) = units.next()? {
        let kind = unit.head[0] >> 1 & 63;
        if unit.head[0] & 1 != 0 || unit.head[1] >> 3 != 0 {
            return Err(Obstacle::Layers);
        }
        match kind {
            0..=31 => {
                traits.slices = true;
                // TRAIL_N, TSA_N, STSA_N, RADL_N, RASL_N.
                traits.referred |= !matches!(kind, 0 | 2 | 4 | 6 | 8);
                traits.refresh &= matches!(kind, 19 | 20);
                traits.entry &= matches!(kind, 19..=21);
                traits.layer = (unit.head[1] & 7).saturating_sub(1);
                let opens = (16..=23).contains(&kind) && unit.head[2] & 0x80 != 0;
                // Decoders skip broken links and leading pictures that refer to what was before the very first
                // picture. `no_output_of_prior_pics_flag`: what is lost depends on how far the output is.
                let skipped = match kind {
                    16..=18 => true,
                    8 | 9 => *start == Start::Fresh,
                    _ => opens && *start != Start::Nothing && unit.head[2] & 0x40 != 0,
                };
                if skipped {
                    return Err(Obstacle::Hidden);
                }
                if opens {
                    *start = if *start == Start::Nothing { Start::Fresh } else { Start::Past };
                }
            }
            HEVC_SPS => {
                traits.fixed = true;
                sets.push(Sps::read_hevc(&units.read(unit)?).ok_or(BAD_SETS)?);
            }
            HEVC_PPS => {
                traits.fixed = true;
                all_shown(&units.read(unit)?)?;
            }
            // After the end of a sequence the next random access picture starts anew.
            36 | 37 => return Err(Obstacle::Hidden),
            39 | 40 => traits.fixed |= !harmless_sei(&units.read(unit)?, 2),
            35 | 38 => {}
            _ => traits.fixed = true,
        }
    }
    traits.fixed |= units.broken;
    Ok(traits)
}

/// A NAL unit: where it is and how it starts.
#[derive(Clone, Copy)]
struct Unit {
    /// Zero after the end of a shorter unit.
    head: [u8; 3],
    /// Place in the sample.
    start: u64,
    length: u64,
}

/// Reads the starts of a sample's units.
struct Units<'a> {
    window: Window<'a>,
    length_bytes: usize,
    at: u64,
    /// The lengths do not add up.
    broken: bool,
}

impl<'a> Units<'a> {
    fn new(file: &'a File, coding: &Coding, sample: &Sample) -> Self {
        let window = Window::new(file, sample.offset, u64::from(sample.size));
        Self { window, length_bytes: coding.length_bytes, at: 0, broken: false }
    }

    fn next(&mut self) -> Result<Option<Unit>, Obstacle> {
        if self.broken || self.at == self.window.length {
            return Ok(None);
        }
        let mut length = 0;
        let prefix = self.length_bytes as u64;
        for i in 0..prefix {
            let Some(byte) = self.window.byte(self.at + i)? else { return Ok(self.give_up()) };
            length = length << 8 | u64::from(byte);
        }
        let start = self.at + prefix;
        if length < 2 || length > self.window.length - start {
            return Ok(self.give_up());
        }
        let mut head = [0; 3];
        for (i, byte) in (0..length.min(3)).zip(&mut head) {
            *byte = self.window.byte(start + i)?.unwrap_or(0);
        }
        self.at = start + length;
        Ok(Some(Unit { head, start, length }))
    }

    fn give_up(&mut self) -> Option<Unit> {
        self.broken = true;
        None
    }

    /// The bytes of a unit; nothing of one that is too long to be looked into.
    fn read(&mut self, unit: Unit) -> Result<Vec<u8>, Obstacle> {
        let mut bytes = Vec::new();
        if unit.length <= MAX_UNIT {
            for at in unit.start..unit.start + unit.length {
                bytes.extend(self.window.byte(at)?);
            }
        }
        Ok(bytes)
    }
}

/// Bytes of the largest unit that is read whole.
const MAX_UNIT: u64 = 1 << 16;

/// Whether no message in this unit with `header` bytes changes how later pictures are shown.
fn harmless_sei(unit: &[u8], header: usize) -> bool {
    let kinds = messages(&unescaped(unit.get(header..).unwrap_or_default()));
    kinds.is_some_and(|kinds| !kinds.iter().any(|kind| persists(*kind)))
}

/// Frame packing arrangement and display orientation.
fn persists(kind: usize) -> bool {
    matches!(kind, 45 | 47)
}

/// The kinds of the messages in a supplemental enhancement unit without its header: H.264 7.3.2.3, H.265 7.3.2.4.
fn messages(bytes: &[u8]) -> Option<Vec<usize>> {
    let (mut kinds, mut rest) = (Vec::new(), bytes.strip_suffix(&[0x80])?);
    while !rest.is_empty() {
        let mut fields = [0; 2];
        for field in &mut fields {
            let full = rest.iter().take_while(|byte| **byte == 255).count();
            *field = 255 * full + usize::from(*rest.get(full)?);
            rest = &rest[full + 1..];
        }
        let [kind, length] = fields;
        rest = rest.get(length..)?;
        kinds.push(kind);
    }
    Some(kinds)
}

/// Reads a sample in pieces.
struct Window<'a> {
    file: &'a File,
    offset: u64,
    length: u64,
    start: u64,
    have: usize,
    bytes: [u8; 512],
}

impl<'a> Window<'a> {
    fn new(file: &'a File, offset: u64, length: u64) -> Self {
        Self { file, offset, length, start: 0, have: 0, bytes: [0; 512] }
    }

    /// The byte at this place of the sample, `None` after its end.
    fn byte(&mut self, at: u64) -> Result<Option<u8>, Obstacle> {
        if at >= self.length {
            return Ok(None);
        }
        if at < self.start || at - self.start >= self.have as u64 {
            let left = usize::try_from(self.length - at).unwrap_or(usize::MAX);
            self.have = left.min(self.bytes.len());
            self.start = at;
            read_at(self.file, &mut self.bytes[..self.have], self.offset + at)?;
        }
        let place = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes[..self.have].get(place).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_by_kind_and_length() {
        assert_eq!(messages(&[1, 2, 0, 0, 5, 0, 0x80]), Some(vec![1, 5]));
        let long = [&[255, 3, 255, 1][..], &[9; 256], &[0x80]].concat();
        assert_eq!(messages(&long), Some(vec![258]));
    }

    #[test]
    fn messages_that_do_not_fill_their_unit_are_refused() {
        for bytes in [&[1, 2, 0, 0x80][..], &[1, 2, 0, 0], &[255, 0x80], &[]] {
            assert_eq!(messages(bytes), None);
        }
    }
}
