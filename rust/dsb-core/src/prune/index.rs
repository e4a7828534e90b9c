//! What a file tells about its packets, and which of them some ticks need.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

use super::boxes::{Bytes, FileBox, children, read_at, top};
use super::obstacle::Obstacle;
use super::plan::{self, Picture};
use super::tables::{self, Track};
use super::ticks::Ticks;
use super::{nal, rewrite};
use crate::time::Rational;

/// What the tables of a file and the headers of its packets tell.
#[derive(Debug)]
pub struct Index {
    pub(super) stamp: Stamp,
    pub(super) place: FileBox,
    /// The body of `moov`.
    movie: Vec<u8>,
    video: usize,
    track: Track,
    pictures: Vec<Picture>,
}

/// Bytes of the largest `moov` that is looked at.
const MAX_MOVIE: usize = 1 << 28;

impl Index {
    /// Reads the tables of `file` and the start of each of its packets.
    pub fn read(file: &File) -> Result<Self, Obstacle> {
        let stamp = Stamp::of(file)?;
        let length = stamp.length;
        let (place, movie) = movie(file, length)?;
        let parts = children(Bytes(&movie))?;
        let video = tables::video_track(&parts)?;
        let track = tables::read(&parts, &parts[video], length)?;
        let inside = |at: u64, size: u32| at < place.end && at + u64::from(size) > place.start;
        if track.samples.iter().any(|sample| inside(sample.offset, sample.size)) {
            return Err(Obstacle::Tables("samples inside the tables"));
        }
        let pictures = nal::classify(file, &track)?;
        let mut times: Vec<i64> = pictures.iter().map(|picture| picture.time).collect();
        times.sort_unstable();
        if times.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Obstacle::Times);
        }
        Ok(Self { stamp, place, movie, video, track, pictures })
    }

    /// Which packets the ticks of `rate` per second need, from stream time `from_ns` on. The container starts at
    /// `start_us` microseconds of its own clock. [`Obstacle::Nothing`] if it needs all of them.
    pub fn plan(&self, rate: Rational, start_us: i64, from_ns: i64) -> Result<Plan, Obstacle> {
        let ticks = Ticks::new(rate, self.track.timescale, start_us).from(from_ns);
        let times = || self.pictures.iter().map(|picture| picture.time);
        let outside = times().min().is_some_and(|first| ticks.is_after_start(first))
            || !times().max().is_some_and(|last| ticks.reaches_start(last));
        // A sampler that starts earlier would show its first picture before it happens, one that starts later none.
        if from_ns > 0 && outside {
            return Err(Obstacle::Late);
        }
        let keep = plan::keep(&self.pictures, &ticks);
        let mut plan = Plan { packets: keep.len(), kept: 0, bytes: 0, kept_bytes: 0, keep };
        for (sample, keep) in self.track.samples.iter().zip(&plan.keep) {
            plan.bytes += u64::from(sample.size);
            plan.kept += usize::from(*keep);
            plan.kept_bytes += if *keep { u64::from(sample.size) } else { 0 };
        }
        if plan.kept == plan.packets { Err(Obstacle::Nothing) } else { Ok(plan) }
    }

    /// The `moov` box in which the track holds only what `plan` keeps.
    pub(super) fn rewrite(&self, plan: &Plan) -> Result<Vec<u8>, Obstacle> {
        let parts = children(Bytes(&self.movie))?;
        rewrite::movie(&parts, self.video, &self.track, &plan.keep)
    }
}

/// Tells whether a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    pub(super) length: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// [`Obstacle::Unreadable`] unless `file` is a regular file.
    pub(super) fn of(file: &File) -> Result<Self, Obstacle> {
        let found = file.metadata().ok().filter(Metadata::is_file).ok_or(Obstacle::Unreadable)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

/// Which packets of a file are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    keep: Vec<bool>,
    /// Packets of the track.
    pub packets: usize,
    /// Packets that are decoded.
    pub kept: usize,
    /// Bytes of all packets.
    pub bytes: u64,
    /// Bytes of the packets that are decoded.
    pub kept_bytes: u64,
}

impl Plan {
    /// Whether each packet is decoded, in decoding order.
    pub fn keep(&self) -> &[bool] {
        &self.keep
    }
}

/// The boxes beside `moov` that count for no track. Others, which belong into one, decoders take for the one that
/// they read last wherever they stand; the new tables stand elsewhere.
const PLAIN: [&[u8; 4]; 8] =
    [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"pdin"];

/// The only `moov` box of a file: where it is, and its body.
fn movie(file: &File, length: u64) -> Result<(FileBox, Vec<u8>), Obstacle> {
    let boxes = top(file, length)?;
    if boxes.iter().any(|each| matches!(&each.kind, b"moof" | b"sidx" | b"styp")) {
        return Err(Obstacle::Fragmented);
    }
    if !boxes.iter().all(|each| PLAIN.contains(&&each.kind)) {
        return Err(Obstacle::Tables("an unusual box beside them"));
    }
    let mut movies = boxes.iter().filter(|each| &each.kind == b"moov");
    let (Some(&place), None) = (movies.next(), movies.next()) else {
        return Err(Obstacle::Tables("not exactly one moov box"));
    };
    let size = place.end - place.start - place.header;
    let size = usize::try_from(size).ok().filter(|size| *size <= MAX_MOVIE);
    let mut body = vec![0; size.ok_or(Obstacle::TooLong)?];
    read_at(file, &mut body, place.start + place.header)?;
    Ok((place, body))
}
