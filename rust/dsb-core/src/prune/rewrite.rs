//! The tables of a track that holds fewer samples, for the same bytes at the same places.

use super::boxes::{Box, Bytes, Kind, children, write};
use super::obstacle::Obstacle;
use super::tables::Track;

/// Tables with one entry per sample, or that count samples. Those that [`tables`] does not write anew say nothing
/// that decoding needs.
const PER_SAMPLE: [&Kind; 17] = [
    b"stts", b"ctts", b"stss", b"stsz", b"stz2", b"stsc", b"stco", b"co64", b"sdtp", b"stps",
    b"stsh", b"stdp", b"padb", b"subs", b"sbgp", b"saiz", b"saio",
];

/// The other boxes that stand beside these.
const OTHER_TABLES: [&Kind; 6] = [b"stsd", b"sgpd", b"cslg", b"free", b"skip", b"uuid"];

/// A `moov` box like `movie`, whose track at place `video` holds only the samples of `keep`.
pub(super) fn movie(
    movie: &[Box<'_>],
    video: usize,
    track: &Track,
    keep: &[bool],
) -> Result<Vec<u8>, Obstacle> {
    let mut body = Vec::new();
    for (place, part) in movie.iter().enumerate() {
        if place == video {
            descend(&mut body, part, &[*b"mdia", *b"minf", *b"stbl"], track, keep)?;
        } else {
            body.extend(part.whole);
        }
    }
    let mut out = Vec::with_capacity(body.len() + 8);
    write(&mut out, *b"moov", &body)?;
    Ok(out)
}

/// Copies a box but for the tables at the end of `path`.
fn descend(
    out: &mut Vec<u8>,
    at: &Box<'_>,
    path: &[Kind],
    track: &Track,
    keep: &[bool],
) -> Result<(), Obstacle> {
    let mut body = Vec::new();
    for part in children(at.body)? {
        match path {
            [next, rest @ ..] if part.kind == *next => {
                descend(&mut body, &part, rest, track, keep)?;
            }
            [] if PER_SAMPLE.contains(&&part.kind) => {}
            // The new tables come last: what stood behind the old ones must not mind.
            [] if !OTHER_TABLES.contains(&&part.kind) => {
                return Err(Obstacle::Tables("an unusual box among them"));
            }
            _ => body.extend(part.whole),
        }
    }
    if path.is_empty() {
        tables(&mut body, track, keep)?;
    }
    write(out, at.kind, &body)
}

/// The tables of the kept samples, each in a chunk of its own.
fn tables(out: &mut Vec<u8>, track: &Track, keep: &[bool]) -> Result<(), Obstacle> {
    let kept =
        || track.samples.iter().zip(keep).filter(|(_, keep)| **keep).map(|(sample, _)| sample);
    let mut deltas = Vec::new();
    for (sample, next) in kept().zip(kept().skip(1)) {
        deltas.push(u32::try_from(next.decode - sample.decode).map_err(|_| Obstacle::TooLong)?);
    }
    // Decoders take a larger number for a negative one.
    if deltas.iter().any(|delta| *delta > i32::MAX.cast_unsigned()) {
        return Err(Obstacle::TooLong);
    }
    deltas.push(track.last_delta);
    write_runs(out, *b"stts", deltas.into_iter())?;
    if track.has_composition {
        write_runs(out, *b"ctts", kept().map(|sample| sample.composition))?;
    }
    if track.has_sync {
        let numbers = (1_u32..).zip(kept()).filter(|(_, sample)| sample.sync);
        write_entries(out, *b"stss", &[], numbers.map(|(number, _)| number.to_be_bytes()))?;
    }
    write_entries(out, *b"stsz", &[0; 4], kept().map(|sample| sample.size.to_be_bytes()))?;
    write_entries(out, *b"stsc", &[], std::iter::once([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]))?;
    write_entries(out, *b"co64", &[], kept().map(|sample| sample.offset.to_be_bytes()))
}

/// A table of run lengths and values.
fn write_runs(
    out: &mut Vec<u8>,
    kind: Kind,
    values: impl Iterator<Item = u32>,
) -> Result<(), Obstacle> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((count, last)) if *last == value => *count += 1,
            _ => runs.push((1, value)),
        }
    }
    let entry = |(count, value): (u32, u32)| {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&count.to_be_bytes());
        bytes[4..].copy_from_slice(&value.to_be_bytes());
        bytes
    };
    write_entries(out, kind, &[], runs.into_iter().map(entry))
}

/// A table: version and flags, `fields`, the number of entries, the entries.
fn write_entries<const N: usize>(
    out: &mut Vec<u8>,
    kind: Kind,
    fields: &[u8],
    entries: impl Iterator<Item = [u8; N]>,
) -> Result<(), Obstacle> {
    let mut bytes = vec![0; 4];
    bytes.extend(fields);
    let (count_at, mut count) = (bytes.len(), 0_u32);
    bytes.extend([0; 4]);
    for entry in entries {
        bytes.extend(entry);
        count += 1;
    }
    bytes[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
    debug_assert_eq!(Bytes(&bytes).u32(count_at), Ok(count), "the count stands before the entries");
    write(out, kind, &bytes)
}
