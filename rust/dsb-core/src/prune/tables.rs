//! The sample tables of the video track: ISO/IEC 14496-12, 8.4 to 8.7.

use super::boxes::{Box, Bytes, children, find, only};
use super::coding::Coding;
use super::obstacle::Obstacle;

/// A coded picture in decoding order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Place in the file.
    pub(super) offset: u64,
    pub(super) size: u32,
    /// Decoding time in units of the track.
    pub(super) decode: i64,
    /// What is added to it for the time on screen.
    pub(super) composition: u32,
    /// Players may start here.
    pub(super) sync: bool,
}

/// The video track of a file.
#[derive(Clone, Debug)]
pub(super) struct Track {
    /// Units per second.
    pub(super) timescale: u32,
    pub(super) samples: Vec<Sample>,
    /// Decoding time from the last sample to the end.
    pub(super) last_delta: u32,
    /// Whether there is a table of the samples at which players may start.
    pub(super) has_sync: bool,
    /// Whether there is a table of composition offsets.
    pub(super) has_composition: bool,
    /// What the edit list takes off the time on screen, in units of the track.
    pub(super) shift: i64,
    pub(super) coding: Coding,
}

impl Track {
    /// When a sample comes on screen, in units of the track.
    pub(super) fn time(&self, sample: &Sample) -> i64 {
        sample.decode + i64::from(sample.composition) - self.shift
    }
}

/// More than a day at 30 frames per second, and 160 MB of memory.
const MAX_SAMPLES: usize = 1 << 22;

/// The one video track among the boxes of `moov`, with its place among them.
pub(super) fn video_track(movie: &[Box<'_>]) -> Result<usize, Obstacle> {
    if find(movie, *b"mvex")?.is_some() {
        return Err(Obstacle::Fragmented);
    }
    let mut found = None;
    for (place, track) in movie.iter().enumerate().filter(|(_, each)| &each.kind == b"trak") {
        let media = children(only(&children(track.body)?, *b"mdia")?.body)?;
        if only(&media, *b"hdlr")?.body.kind(8)? == *b"vide" && found.replace(place).is_some() {
            return Err(Obstacle::SeveralTracks);
        }
    }
    found.ok_or(Obstacle::NoVideo)
}

/// Reads the tables of `track`, a `trak` of the boxes `movie`. Every sample lies within the first `file_length`
/// bytes.
pub(super) fn read(
    movie: &[Box<'_>],
    track: &Box<'_>,
    file_length: u64,
) -> Result<Track, Obstacle> {
    let parts = children(track.body)?;
    let media = children(only(&parts, *b"mdia")?.body)?;
    let information = children(only(&media, *b"minf")?.body)?;
    let tables = children(only(&information, *b"stbl")?.body)?;
    within_the_file(&information)?;
    let coding = coding(only(&tables, *b"stsd")?.body)?;
    let timescale = timescale(only(&media, *b"mdhd")?.body)?;
    let sizes = sizes(&tables, file_length)?;
    let mut samples: Vec<Sample> = sizes
        .into_iter()
        .map(|size| Sample { offset: 0, size, decode: 0, composition: 0, sync: true })
        .collect();
    place(&tables, &mut samples, file_length)?;
    let last_delta = time(&tables, &mut samples)?;
    let composition = find(&tables, *b"ctts")?;
    if let Some(table) = composition {
        compose(table.body, &mut samples)?;
    }
    let sync = find(&tables, *b"stss")?;
    if let Some(table) = sync {
        mark(table.body, &mut samples)?;
    }
    let (has_sync, has_composition) = (sync.is_some(), composition.is_some());
    let mut track =
        Track { timescale, samples, last_delta, has_sync, has_composition, shift: 0, coding };
    track.shift = shift(movie, &parts, &track)?;
    Ok(track)
}

fn within_the_file(information: &[Box<'_>]) -> Result<(), Obstacle> {
    let references = only(&children(only(information, *b"dinf")?.body)?, *b"dref")?.body;
    let entries = children(references.from(8)?)?;
    let local = |entry: &Box<'_>| entry.body.u32(0).is_ok_and(|flags| flags & 1 == 1);
    if entries.len() == 1 && entries.iter().all(local) { Ok(()) } else { Err(Obstacle::External) }
}

/// The codec of the only sample description (8.5.2).
fn coding(descriptions: Bytes<'_>) -> Result<Coding, Obstacle> {
    let entries = children(descriptions.from(8)?)?;
    let [entry] = entries.as_slice() else { return Err(Obstacle::SeveralDescriptions) };
    let kind = entry.kind;
    if &kind == b"encv" {
        return Err(Obstacle::Encrypted);
    }
    if !matches!(&kind, b"avc1" | b"avc3" | b"hvc1" | b"hev1") {
        return Err(Obstacle::Codec(kind));
    }
    let parts = children(entry.body.from(78)?)?;
    if find(&parts, *b"sinf")?.is_some() {
        return Err(Obstacle::Encrypted);
    }
    if kind.starts_with(b"avc") {
        Coding::avc(only(&parts, *b"avcC")?.body)
    } else {
        Coding::hevc(only(&parts, *b"hvcC")?.body)
    }
}

fn timescale(header: Bytes<'_>) -> Result<u32, Obstacle> {
    let at = if header.u8(0)? == 1 { 20 } else { 12 };
    match header.u32(at)? {
        units @ 1..=0x7fff_ffff => Ok(units),
        _ => Err(Obstacle::Tables("a clock without a rate")),
    }
}

/// Bytes of each sample (8.7.3.2).
fn sizes(tables: &[Box<'_>], file_length: u64) -> Result<Vec<u32>, Obstacle> {
    if find(tables, *b"stz2")?.is_some() {
        return Err(Obstacle::Tables("compact sizes"));
    }
    let table = only(tables, *b"stsz")?.body;
    let (size, count) = (table.u32(4)?, table.u32(8)? as usize);
    let sizes = if size == 0 {
        let entries = Bytes(table.from(4)?.0).entries(4)?;
        if entries.len() > MAX_SAMPLES {
            return Err(Obstacle::TooLong);
        }
        entries.map(|entry| Bytes(entry).u32(0)).collect::<Result<Vec<_>, _>>()?
    } else if count > MAX_SAMPLES {
        return Err(Obstacle::TooLong);
    } else if count as u64 * u64::from(size) > file_length {
        // Before memory is taken: nothing but this number says how many samples there are.
        return Err(BEYOND_THE_END);
    } else {
        vec![size; count]
    };
    let total: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
    match () {
        () if sizes.is_empty() => Err(Obstacle::NoVideo),
        () if total > file_length => Err(BEYOND_THE_END),
        () if sizes.contains(&0) => Err(Obstacle::Tables("a sample without a size")),
        () => Ok(sizes),
    }
}

/// Where the samples lie: chunk offsets (8.7.5) and samples per chunk (8.7.4).
fn place(tables: &[Box<'_>], samples: &mut [Sample], file_length: u64) -> Result<(), Obstacle> {
    let chunks: Vec<u64> = match (find(tables, *b"stco")?, find(tables, *b"co64")?) {
        (Some(table), None) => {
            let entries = table.body.entries(4)?;
            entries.map(|entry| Bytes(entry).u32(0).map(u64::from)).collect::<Result<_, _>>()?
        }
        (None, Some(table)) => {
            table.body.entries(8)?.map(|entry| Bytes(entry).u64(0)).collect::<Result<_, _>>()?
        }
        _ => return Err(Obstacle::Tables("no single table of chunk offsets")),
    };
    let runs = only(tables, *b"stsc")?.body.entries(12)?;
    let runs = runs.map(|run| {
        let run = Bytes(run);
        Ok((run.u32(0)? as usize, run.u32(4)?, run.u32(8)?))
    });
    let runs = runs.collect::<Result<Vec<_>, Obstacle>>()?;
    let mut left = samples.iter_mut();
    for (i, &(first, per_chunk, description)) in runs.iter().enumerate() {
        let next = runs.get(i + 1).map_or(chunks.len() + 1, |run| run.0);
        let begins_right = if i == 0 { first == 1 } else { first < next || i + 1 == runs.len() };
        if !begins_right || first >= next || next > chunks.len() + 1 || per_chunk == 0 {
            return Err(BAD_CHUNKS);
        }
        if description != 1 {
            return Err(Obstacle::SeveralDescriptions);
        }
        for chunk in &chunks[first - 1..next - 1] {
            let mut offset = *chunk;
            for _ in 0..per_chunk {
                let sample = left.next().ok_or(BAD_CHUNKS)?;
                sample.offset = offset;
                offset = offset
                    .checked_add(u64::from(sample.size))
                    .filter(|end| *end <= file_length)
                    .ok_or(BEYOND_THE_END)?;
            }
        }
    }
    if left.next().is_some() { Err(BAD_CHUNKS) } else { Ok(()) }
}

const BEYOND_THE_END: Obstacle = Obstacle::Tables("samples beyond the end of the file");
const BAD_CHUNKS: Obstacle = Obstacle::Tables("chunks and samples do not add up");

/// Decoding times (8.6.1.2); gives the last delta.
fn time(tables: &[Box<'_>], samples: &mut [Sample]) -> Result<u32, Obstacle> {
    let deltas = runs(only(tables, *b"stts")?.body, samples.len())?;
    let (mut clock, mut last) = (0_i64, 0);
    let mut left = samples.iter_mut();
    for (count, delta) in deltas {
        // Decoders repair deltas that are 0 or look negative, each in its own way.
        if delta == 0 && left.len() > 1 || delta > MAX_DELTA {
            return Err(Obstacle::Times);
        }
        for sample in left.by_ref().take(count) {
            sample.decode = clock;
            clock += i64::from(delta);
        }
        last = if count > 0 { delta } else { last };
    }
    Ok(last)
}

/// Half of what 31 bits hold: beyond it, differences between kept samples would not fit.
const MAX_DELTA: u32 = 1 << 30;

/// Composition offsets (8.6.1.3).
fn compose(table: Bytes<'_>, samples: &mut [Sample]) -> Result<(), Obstacle> {
    let offsets = runs(table, samples.len())?;
    let mut left = samples.iter_mut();
    for (count, offset) in offsets {
        // In version 1, or by negligence, this is a negative number, which shifts the decoder's clock.
        if offset > MAX_DELTA {
            return Err(Obstacle::Times);
        }
        left.by_ref().take(count).for_each(|sample| sample.composition = offset);
    }
    Ok(())
}

/// Run lengths and values that cover exactly `samples`.
fn runs(table: Bytes<'_>, samples: usize) -> Result<Vec<(usize, u32)>, Obstacle> {
    let runs = table.entries(8)?.map(|run| Ok((Bytes(run).u32(0)? as usize, Bytes(run).u32(4)?)));
    let runs = runs.collect::<Result<Vec<_>, Obstacle>>()?;
    let mut covered = 0_usize;
    for (count, _) in &runs {
        covered = covered.saturating_add(*count);
    }
    if covered == samples {
        Ok(runs)
    } else {
        Err(Obstacle::Tables("times and samples do not add up"))
    }
}

/// Samples at which players may start (8.6.2).
fn mark(table: Bytes<'_>, samples: &mut [Sample]) -> Result<(), Obstacle> {
    for sample in samples.iter_mut() {
        sample.sync = false;
    }
    for entry in table.entries(4)? {
        let number = Bytes(entry).u32(0)? as usize;
        let sample = number.checked_sub(1).and_then(|place| samples.get_mut(place));
        sample.ok_or(Obstacle::Tables("a start that is no sample"))?.sync = true;
    }
    Ok(())
}

/// What the edit list (8.6.6) takes off the time on screen. Only the plainest one is accepted: the whole track from
/// its first picture at normal speed.
fn shift(movie: &[Box<'_>], parts: &[Box<'_>], track: &Track) -> Result<i64, Obstacle> {
    let Some(edits) = find(parts, *b"edts")? else { return Ok(0) };
    let Some(list) = find(&children(edits.body)?, *b"elst")? else { return Ok(0) };
    let list = list.body;
    let long = list.u8(0)? == 1;
    let mut entries = list.entries(if long { 20 } else { 12 })?;
    let (Some(entry), None) = (entries.next().map(Bytes), entries.next()) else {
        return Err(Obstacle::EditList);
    };
    let (duration, start, rate) = if long {
        (entry.u64(0)?, i64::from_be_bytes(entry.u64(8)?.to_be_bytes()), entry.u32(16)?)
    } else {
        (u64::from(entry.u32(0)?), i64::from(entry.u32(4)?.cast_signed()), entry.u32(8)?)
    };
    let times = || track.samples.iter().map(|sample| track.time(sample));
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let per_second = timescale(only(movie, *b"mvhd")?.body)?;
    // The decoder rounds the duration to the track's units; one more unit leaves no doubt.
    let length = i128::from(duration) * i128::from(track.timescale) / i128::from(per_second);
    let plain =
        rate == 1 << 16 && start == first && i128::from(start) + length > i128::from(last) + 1;
    if plain { Ok(start) } else { Err(Obstacle::EditList) }
}
