//! The main header, the header of the one track, and syncpoints.

use std::io::Read;

use super::input::Input;
use super::{Header, flag};
use crate::error::Result;
use crate::time::Rational;

const VERSIONS: std::ops::RangeInclusive<u64> = 2..=4;
/// More time bases than any muxer writes.
const MAX_TIME_BASES: u64 = 16;
/// Limits that the format sets for elided headers.
const MAX_ELIDED: u64 = 128;
const MAX_ELIDED_BYTES: u64 = 1024;
/// Main flag of streams that carry the time of transmission in each syncpoint.
const BROADCAST: u64 = 1;
const CLASS_VIDEO: u64 = 0;
const RGB24: [u8; 4] = *b"RGB\x18";

/// What a frame code stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameCode {
    pub(super) flags: u64,
    pub(super) stream: u64,
    pub(super) pts_delta: i64,
    pub(super) size_mul: u64,
    pub(super) size_lsb: u64,
    pub(super) reserved: u64,
    pub(super) header: u64,
}

#[derive(Debug)]
pub(super) struct MainHeader {
    pub(super) max_distance: u64,
    time_bases: Vec<Rational>,
    codes: Vec<FrameCode>,
    /// Starts of payloads that are left out of the stream; the first is empty.
    elided: Vec<Vec<u8>>,
    broadcast: bool,
}

impl MainHeader {
    pub(super) fn parse<R: Read>(input: &mut Input<R>) -> Result<Self> {
        let version = input.varint()?;
        if !VERSIONS.contains(&version) {
            return Err(input.error("an unknown version of NUT"));
        }
        if version > 3 {
            input.varint()?; // minor version
        }
        if input.varint()? != 1 {
            return Err(input.error("not exactly one track"));
        }
        // Larger values than the format's limit count as that limit.
        let max_distance = input.varint()?.min(65_536);
        let time_bases = parse_time_bases(input)?;
        let codes = parse_codes(input)?;
        let elided = parse_elided(input)?;
        let broadcast = version > 3 && input.varint()? & BROADCAST != 0;
        Ok(Self { max_distance, time_bases, codes, elided, broadcast })
    }

    pub(super) fn code(&self, code: u8) -> FrameCode {
        self.codes[usize::from(code)]
    }

    pub(super) fn elided_count(&self) -> usize {
        self.elided.len()
    }

    pub(super) fn elided(&self, index: usize) -> &[u8] {
        &self.elided[index]
    }

    /// The time of a syncpoint in ticks of `time_base`.
    pub(super) fn parse_syncpoint<R: Read>(
        &self,
        input: &mut Input<R>,
        time_base: Rational,
    ) -> Result<i64> {
        let coded = input.varint()?;
        input.varint()?; // distance to an earlier syncpoint
        if self.broadcast {
            input.varint()?; // time of transmission
        }
        let count = self.time_bases.len() as u64;
        let index = usize::try_from(coded % count).unwrap_or(0);
        let from = self.time_bases[index];
        // The products stay below 2^63 * 2^32 * 2^32 = 2^127.
        let ticks =
            i128::from(coded / count) * i128::from(from.num()) * i128::from(time_base.den())
                / (i128::from(from.den()) * i128::from(time_base.num()));
        i64::try_from(ticks).map_err(|_| input.error("a time stamp out of range"))
    }
}

fn parse_time_bases<R: Read>(input: &mut Input<R>) -> Result<Vec<Rational>> {
    let count = input.varint()?;
    if !(1..=MAX_TIME_BASES).contains(&count) {
        return Err(input.error("an impossible number of time bases"));
    }
    (0..count)
        .map(|_| {
            let (num, den) = (input.varint()?, input.varint()?);
            Rational::new(num, den).map_err(|_| input.error("an impossible time base"))
        })
        .collect()
}

/// The table of frame codes: runs of codes whose sizes count up.
fn parse_codes<R: Read>(input: &mut Input<R>) -> Result<Vec<FrameCode>> {
    let invalid = FrameCode {
        flags: flag::INVALID,
        stream: 0,
        pts_delta: 0,
        size_mul: 1,
        size_lsb: 0,
        reserved: 0,
        header: 0,
    };
    let (mut codes, mut run) = (Vec::with_capacity(256), invalid);
    while codes.len() < 256 {
        let count = parse_run(input, &mut run)?;
        let Some(count) = count.filter(|count| (1..=256).contains(count)) else {
            return Err(input.error("an impossible run of frame codes"));
        };
        for j in 0..count {
            // 'N' starts the packets and is no frame code.
            if codes.len() == usize::from(b'N') {
                codes.push(invalid);
            }
            let Some(size_lsb) = run.size_lsb.checked_add(j).filter(|_| codes.len() < 256) else {
                return Err(input.error("an impossible run of frame codes"));
            };
            codes.push(FrameCode { size_lsb, ..run });
        }
    }
    Ok(codes)
}

/// What the codes of a run stand for, and how many they are. Fields that are not there keep their last value,
/// except for size and reserved fields.
fn parse_run<R: Read>(input: &mut Input<R>, run: &mut FrameCode) -> Result<Option<u64>> {
    run.flags = input.varint()?;
    let fields = input.varint()?;
    if fields > 0 {
        run.pts_delta = input.signed_varint()?;
    }
    if fields > 1 {
        run.size_mul = input.varint()?;
    }
    if fields > 2 {
        run.stream = input.varint()?;
    }
    run.size_lsb = if fields > 3 { input.varint()? } else { 0 };
    run.reserved = if fields > 4 { input.varint()? } else { 0 };
    let count =
        if fields > 5 { Some(input.varint()?) } else { run.size_mul.checked_sub(run.size_lsb) };
    if fields > 6 {
        input.varint()?; // match time
    }
    if fields > 7 {
        run.header = input.varint()?;
    }
    for _ in 8..fields {
        input.varint()?; // ends with the packet, however many there claim to be
    }
    Ok(count)
}

fn parse_elided<R: Read>(input: &mut Input<R>) -> Result<Vec<Vec<u8>>> {
    let count = input.varint()?;
    let (mut elided, mut left) = (vec![Vec::new()], MAX_ELIDED_BYTES);
    if count >= MAX_ELIDED {
        return Err(input.error("too many elided headers"));
    }
    for _ in 0..count {
        let len = input.varint()?;
        left = match left.checked_sub(len) {
            Some(left) if len > 0 => left,
            _ => return Err(input.error("an elided header of impossible length")),
        };
        // `len` is at most MAX_ELIDED_BYTES.
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        input.summed_bytes(&mut bytes)?;
        elided.push(bytes);
    }
    Ok(elided)
}

#[derive(Debug)]
pub(super) struct TrackHeader {
    pub(super) header: Header,
    pub(super) max_pts_distance: u64,
    pts_shift: u32,
}

impl TrackHeader {
    pub(super) fn parse<R: Read>(input: &mut Input<R>, main: &MainHeader) -> Result<Self> {
        if input.varint()? != 0 || input.varint()? != CLASS_VIDEO {
            return Err(input.error("a track that is not the one video track"));
        }
        let mut fourcc = [0; 4];
        if input.varint()? != fourcc.len() as u64 {
            return Err(input.error("a codec that is not rawvideo rgb24"));
        }
        input.summed_bytes(&mut fourcc)?;
        if fourcc != RGB24 {
            return Err(input.error("a codec that is not rawvideo rgb24"));
        }
        let time_base = usize::try_from(input.varint()?).ok().and_then(|i| main.time_bases.get(i));
        let Some(&time_base) = time_base else {
            return Err(input.error("an unknown time base"));
        };
        let pts_shift = input.varint()?;
        if pts_shift >= 16 {
            return Err(input.error("an impossible time stamp width"));
        }
        let max_pts_distance = input.varint()?;
        input.varint()?; // decode delay
        input.varint()?; // stream flags
        let extra = input.varint()?; // bytes of codec-specific data; bounded by the packet
        for _ in 0..extra {
            input.byte()?;
        }
        let header = parse_size(input, time_base)?;
        // Less than 16; checked above.
        let pts_shift = u32::try_from(pts_shift).unwrap_or(0);
        Ok(Self { header, max_pts_distance, pts_shift })
    }

    /// The time stamp that `coded` stands for: its low bits, or all of it, counted from the format's bias.
    pub(super) fn full_pts(&self, reference: i64, coded: u64) -> Option<i64> {
        let (coded, bias) = (i64::try_from(coded).ok()?, 1_i64 << self.pts_shift);
        if coded >= bias {
            return Some(coded - bias);
        }
        let (mask, from) = (bias - 1, reference.checked_sub((bias - 1) / 2)?);
        (coded.wrapping_sub(from) & mask).checked_add(from)
    }
}

fn parse_size<R: Read>(input: &mut Input<R>, time_base: Rational) -> Result<Header> {
    let (width, height) = (input.varint()?, input.varint()?);
    let size = (u32::try_from(width), u32::try_from(height));
    let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
    match (size, bytes) {
        ((Ok(width), Ok(height)), Some(1..=Header::MAX_FRAME_BYTES)) => {
            Ok(Header { width, height, time_base })
        }
        _ => Err(input.error("an impossible picture size")),
    }
}
