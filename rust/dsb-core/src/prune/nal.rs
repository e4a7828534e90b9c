//! What the NAL units of a sample say about it, without decoding: whether anything can refer to it, and whether
//! decoding can start with it. ITU-T H.264 (08/2021) 7.3.1 and 7.4.1; H.265 (08/2021) 7.3.1.2 and table 7-1.

use std::fs::File;

use super::coding::{Codec, HEVC_PPS, Sets};
use super::obstacle::Obstacle;
use super::order::{Order, Place, Role, low_h264, low_hevc, reorder};
use super::plan::Picture;
use super::sps::{HEVC_SPS, Sps, unescaped};
use super::tables::Track;
use super::units::Units;

const BAD_SLICE: Obstacle = Obstacle::Tables("a slice header cannot be read");

/// Classifies every sample, in decoding order.
pub(super) fn classify(file: &File, track: &Track) -> Result<Vec<Picture>, Obstacle> {
    let mut stream =
        Stream { sets: track.coding.sets.clone(), order: Order::default(), start: Start::Nothing };
    let mut places = Vec::with_capacity(track.samples.len());
    let mut pictures = Vec::with_capacity(track.samples.len());
    let mut layers = Vec::with_capacity(track.samples.len());
    for sample in &track.samples {
        let units = Units::new(file, track.coding.length_bytes, sample);
        let traits = match track.coding.codec {
            Codec::H264 => stream.h264(units)?,
            Codec::Hevc => stream.hevc(units)?,
        };
        if pictures.is_empty() && !(sample.sync && traits.slices && traits.entry) {
            return Err(Obstacle::Start);
        }
        places.extend(traits.place.map(|place| (place, track.time(sample))));
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
    in_order(stream.sets.sps()?, &pictures, places)?;
    Ok(pictures)
}

/// Whether a decoder puts the pictures into the order of their times, whichever of them it gets.
fn in_order(
    sps: &Sps,
    pictures: &[Picture],
    mut places: Vec<(Place, i64)>,
) -> Result<(), Obstacle> {
    if sps.interlaced {
        return Err(Obstacle::Interlaced);
    }
    if sps.gaps {
        return Err(Obstacle::Layers);
    }
    if reorder(pictures) > sps.reorder.unwrap_or(0) {
        return Err(Obstacle::Reorder);
    }
    // Decoders go by their own order and then make up times.
    places.sort_unstable();
    if places.is_sorted_by_key(|(_, time)| *time) { Ok(()) } else { Err(Obstacle::Times) }
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
    /// Where decoders show it; `None` without slices.
    place: Option<Place>,
}

const NOTHING: Traits = Traits {
    slices: false,
    referred: false,
    refresh: true,
    entry: true,
    fixed: false,
    layer: 0,
    place: None,
};

/// What is known of a stream up to a sample.
struct Stream {
    sets: Sets,
    order: Order,
    start: Start,
}

impl Stream {
    fn h264(&mut self, mut units: Units<'_>) -> Result<Traits, Obstacle> {
        let mut traits = NOTHING;
        while let Some(unit) = units.next()? {
            let header = unit.head[0];
            match header & 31 {
                kind @ (1 | 5) => {
                    if !traits.slices {
                        traits.place = Some(self.place_h264(header, &units.start_of(unit)?)?);
                    }
                    traits.slices = true;
                    traits.referred |= header & 0x60 != 0;
                    traits.refresh &= kind == 5;
                }
                6 => traits.fixed |= unclear_sei(&units.read(unit)?, 1)?,
                7 => {
                    traits.fixed = true;
                    self.sets.add(&units.read(unit)?, Sps::read)?;
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

    /// Where a picture is shown that starts with `slice`.
    fn place_h264(&mut self, header: u8, slice: &[u8]) -> Result<Place, Obstacle> {
        let sps = self.sets.sps()?;
        let role = match (header & 31, header & 0x60) {
            (5, _) => Role::Refresh,
            (_, 0) => Role::Other,
            _ => Role::Base,
        };
        let low = low_h264(slice, sps).ok_or(BAD_SLICE)?;
        Ok(self.order.place(sps, role, low))
    }

    /// Where a picture of this kind and sub-layer is shown that starts with `slice`.
    fn place_hevc(&mut self, kind: u8, layer: u8, slice: &[u8]) -> Result<Place, Obstacle> {
        let sps = self.sets.sps()?;
        // Leading pictures, and those that their own sub-layer does not refer to.
        let passing = kind < 16 && kind.is_multiple_of(2) || matches!(kind, 7 | 9);
        let role = match kind {
            19 | 20 => Role::Refresh,
            _ if passing || layer > 0 => Role::Other,
            _ => Role::Base,
        };
        let low = low_hevc(slice, sps, &self.sets.extra_bits).ok_or(BAD_SLICE)?;
        Ok(self.order.place(sps, role, low))
    }

    fn hevc(&mut self, mut units: Units<'_>) -> Result<Traits, Obstacle> {
        let mut traits = NOTHING;
        while let Some(unit) = units.next()? {
            let kind = unit.head[0] >> 1 & 63;
            if unit.head[0] & 1 != 0 || unit.head[1] >> 3 != 0 {
                return Err(Obstacle::Layers);
            }
            match kind {
                0..=31 => {
                    traits.layer = (unit.head[1] & 7).saturating_sub(1);
                    if !traits.slices {
                        let slice = units.start_of(unit)?;
                        traits.place = Some(self.place_hevc(kind, traits.layer, &slice)?);
                    }
                    traits.slices = true;
                    // TRAIL_N, TSA_N, STSA_N, RADL_N, RASL_N.
                    traits.referred |= !matches!(kind, 0 | 2 | 4 | 6 | 8);
                    traits.refresh &= matches!(kind, 19 | 20);
                    traits.entry &= matches!(kind, 19..=21);
                    let opens = (16..=23).contains(&kind) && unit.head[2] & 0x80 != 0;
                    // Decoders skip broken links and leading pictures that refer to what was before the very first
                    // picture. `no_output_of_prior_pics_flag`: what is lost depends on how far the output is.
                    let skipped = match kind {
                        16..=18 => true,
                        8 | 9 => self.start == Start::Fresh,
                        _ => opens && self.start != Start::Nothing && unit.head[2] & 0x40 != 0,
                    };
                    if skipped {
                        return Err(Obstacle::Hidden);
                    }
                    if opens {
                        self.start =
                            if self.start == Start::Nothing { Start::Fresh } else { Start::Past };
                    }
                }
                HEVC_SPS => {
                    traits.fixed = true;
                    self.sets.add(&units.read(unit)?, Sps::read_hevc)?;
                }
                HEVC_PPS => {
                    traits.fixed = true;
                    self.sets.add_hevc_pps(&units.read(unit)?)?;
                }
                // After the end of a sequence the next random access picture starts anew.
                36 | 37 => return Err(Obstacle::Hidden),
                39 | 40 => traits.fixed |= unclear_sei(&units.read(unit)?, 2)?,
                35 | 38 => {}
                _ => traits.fixed = true,
            }
        }
        traits.fixed |= units.broken;
        Ok(traits)
    }
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

/// Whether nobody knows what this unit, behind `header` bytes, says. [`Obstacle::SeveralDescriptions`] if it changes
/// how pictures are shown from here on: filters start anew there.
fn unclear_sei(unit: &[u8], header: usize) -> Result<bool, Obstacle> {
    let Some(kinds) = messages(&unescaped(unit.get(header..).unwrap_or_default())) else {
        return Ok(true);
    };
    // Frame packing, display orientation, alternative transfer characteristics.
    if kinds.iter().any(|kind| matches!(kind, 45 | 47 | 147)) {
        return Err(Obstacle::SeveralDescriptions);
    }
    Ok(false)
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
