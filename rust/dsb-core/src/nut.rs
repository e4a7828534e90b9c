//! Reader for a NUT stream that holds one rawvideo rgb24 track.
//!
//! NUT carries size, time base and exact time stamps in band, so that one pipe is enough. The reader is for the
//! output of a decoder that may have been killed or be broken, so it trusts nothing: header checksums are
//! verified, every length is bounded, nothing is allocated from a number in the input, and what is not needed for
//! one raw video track is an error. Payload bytes carry no checksum in NUT.
//!
//! Format: the public description of NUT by its authors (main header, stream header, syncpoints, frames).

mod header;
mod input;

use std::io::Read;

use header::{MainHeader, TrackHeader};
use input::Input;

use crate::error::{Error, Result};
use crate::time::{Ns, Rational};

/// Start of every NUT stream.
const FILE_ID: &[u8; 25] = b"nut/multimedia container\0";
const MAIN: u64 = 0x4E4D_7A56_1F5F_04AD;
const STREAM: u64 = 0x4E53_1140_5BF2_F9DB;
const SYNCPOINT: u64 = 0x4E4B_E4AD_EECA_4569;
const INDEX: u64 = 0x4E58_DD67_2F23_E64E;
const INFO: u64 = 0x4E49_AB68_B596_BA78;

/// Frame flags, of a frame code or coded in a frame.
mod flag {
    pub(super) const KEY: u64 = 1;
    pub(super) const CODED_PTS: u64 = 8;
    pub(super) const STREAM_ID: u64 = 16;
    pub(super) const SIZE_MSB: u64 = 32;
    pub(super) const CHECKSUM: u64 = 64;
    pub(super) const RESERVED: u64 = 128;
    pub(super) const HEADER_IDX: u64 = 1024;
    pub(super) const MATCH_TIME: u64 = 2048;
    pub(super) const CODED: u64 = 4096;
    pub(super) const INVALID: u64 = 8192;
    /// What one raw video track needs; side data and end-of-relevance marks are not among it.
    pub(super) const KNOWN: u64 = KEY
        | CODED_PTS
        | STREAM_ID
        | SIZE_MSB
        | CHECKSUM
        | RESERVED
        | HEADER_IDX
        | MATCH_TIME
        | CODED;
}

/// What the frames of a stream have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Seconds per tick of the time stamps.
    pub time_base: Rational,
}

impl Header {
    /// Most bytes that a frame may have: a guard against nonsense, 8K video needs 100 MB.
    pub const MAX_FRAME_BYTES: u64 = 1 << 30;

    /// Bytes of one rgb24 frame, `height * width * 3`.
    pub fn frame_bytes(self) -> usize {
        // At most MAX_FRAME_BYTES; checked when the header was read.
        self.width as usize * self.height as usize * 3
    }
}

/// Reads frames one by one: [`Reader::next_frame`], then [`Reader::read_payload`].
///
/// **Invariants**: every frame has exactly [`Header::frame_bytes`] bytes; time stamps strictly increase and are not
/// negative; memory use does not depend on the input. After an error the reader must not be used any more.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    main: MainHeader,
    track: TrackHeader,
    /// Reference for coded time stamps: the last frame or syncpoint.
    reference_pts: i64,
    last: Option<Ns>,
    /// Index of the elided header of a payload that has not been read yet.
    payload: Option<usize>,
}

impl<R: Read> Reader<R> {
    /// Reads the headers.
    pub fn open(source: R) -> Result<Self> {
        let mut input = Input::new(source);
        let mut id = [0; FILE_ID.len()];
        input.bytes(&mut id)?;
        if &id != FILE_ID {
            return Err(input.error("no NUT signature"));
        }
        let main = match input.u64()? {
            MAIN => input.packet(MAIN, MainHeader::parse)?,
            _ => return Err(input.error("no main header")),
        };
        let track = match input.u64()? {
            STREAM => input.packet(STREAM, |input| TrackHeader::parse(input, &main))?,
            _ => return Err(input.error("no stream header")),
        };
        Ok(Self { input, main, track, reference_pts: 0, last: None, payload: None })
    }

    /// What the frames have in common.
    pub fn header(&self) -> Header {
        self.track.header
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// Time stamp of the next frame, `None` at the end of the stream. A payload that was not read is skipped.
    pub fn next_frame(&mut self) -> Result<Option<Ns>> {
        if self.payload.is_some() {
            self.skip_payload()?;
        }
        loop {
            self.input.start_checksum();
            let Some(code) = self.input.first_byte()? else { return Ok(None) };
            if code == b'N' {
                self.packet()?;
            } else {
                return self.frame_header(code).map(Some);
            }
        }
    }

    /// Reads the payload of the frame that [`Reader::next_frame`] announced into `frame`, which must hold exactly
    /// [`Header::frame_bytes`] bytes.
    pub fn read_payload(&mut self, frame: &mut [u8]) -> Result<()> {
        if frame.len() != self.header().frame_bytes() {
            return Err(Error::invalid("the buffer for a frame has another size than the frame"));
        }
        let Some(elided) = self.payload.take() else {
            return Err(Error::invalid("there is no payload to read; call next_frame first"));
        };
        let (start, rest) = frame.split_at_mut(self.main.elided(elided).len());
        start.copy_from_slice(self.main.elided(elided));
        self.input.bytes(rest)
    }

    /// Passes over the payload of the current frame.
    pub fn skip_payload(&mut self) -> Result<()> {
        let Some(elided) = self.payload.take() else { return Ok(()) };
        self.input.skip((self.header().frame_bytes() - self.main.elided(elided).len()) as u64)
    }

    fn packet(&mut self) -> Result<()> {
        match self.input.startcode_after_n()? {
            SYNCPOINT => {
                let (main, time_base) = (&self.main, self.track.header.time_base);
                let pts = |input: &mut Input<R>| main.parse_syncpoint(input, time_base);
                self.reference_pts = self.input.packet(SYNCPOINT, pts)?;
                Ok(())
            }
            // The muxer repeats its headers now and then; they may not change.
            code @ (MAIN | STREAM | INFO | INDEX) => self.input.packet(code, |_| Ok(())),
            _ => Err(self.input.error("an unknown packet")),
        }
    }

    fn frame_header(&mut self, code: u8) -> Result<Ns> {
        let fields = self.frame_fields(code)?;
        let (input, track) = (&self.input, &self.track);
        let size = track.header.frame_bytes() as u64;
        if fields.size != Some(size) || fields.stream != 0 {
            return Err(input.error("a frame that is not one rgb24 picture of the announced size"));
        }
        let Some(pts) = fields.pts.filter(|pts| *pts >= 0) else {
            return Err(input.error("a time stamp out of range"));
        };
        let jump = pts.abs_diff(self.reference_pts);
        if !fields.checked && (size > 2 * self.main.max_distance || jump > track.max_pts_distance) {
            return Err(input.error("a frame header without the checksum that it must have"));
        }
        let elided = if size > ELISION_LIMIT { 0 } else { fields.elided };
        let payload = usize::try_from(elided).ok().filter(|index| {
            *index < self.main.elided_count() && self.main.elided(*index).len() as u64 <= size
        });
        if payload.is_none() {
            return Err(input.error("an unknown elided header"));
        }
        let time = Ns::from_pts(pts, track.header.time_base)
            .filter(|time| self.last.is_none_or(|last| last < *time))
            .ok_or_else(|| input.error("a time stamp that does not increase"))?;
        (self.reference_pts, self.last, self.payload) = (pts, Some(time), payload);
        Ok(time)
    }

    /// The fields of a frame header, its checksum verified if it has one, nothing else checked.
    fn frame_fields(&mut self, code: u8) -> Result<FrameFields> {
        let (input, entry) = (&mut self.input, self.main.code(code));
        let mut flags = entry.flags;
        if flags & flag::CODED != 0 {
            flags ^= input.varint()?;
        }
        if flags & !flag::KNOWN != 0 {
            return Err(input.error("a frame code that one raw video track does not need"));
        }
        let stream = if flags & flag::STREAM_ID != 0 { input.varint()? } else { entry.stream };
        let pts = if flags & flag::CODED_PTS != 0 {
            self.track.full_pts(self.reference_pts, input.varint()?)
        } else {
            self.reference_pts.checked_add(entry.pts_delta)
        };
        let msb = if flags & flag::SIZE_MSB != 0 { input.varint()? } else { 0 };
        let size =
            entry.size_mul.checked_mul(msb).and_then(|size| size.checked_add(entry.size_lsb));
        if flags & flag::MATCH_TIME != 0 {
            input.varint()?;
        }
        let elided = if flags & flag::HEADER_IDX != 0 { input.varint()? } else { entry.header };
        let reserved = if flags & flag::RESERVED != 0 { input.varint()? } else { entry.reserved };
        if reserved > MAX_RESERVED {
            return Err(input.error("too many reserved fields"));
        }
        for _ in 0..reserved {
            input.varint()?;
        }
        let checked = flags & flag::CHECKSUM != 0;
        if checked {
            input.verify_checksum()?;
        }
        Ok(FrameFields { stream, pts, size, elided, checked })
    }
}

/// What a frame header says; `None` where the number does not fit.
struct FrameFields {
    stream: u64,
    pts: Option<i64>,
    size: Option<u64>,
    elided: u64,
    checked: bool,
}

/// Larger frames never have an elided header.
const ELISION_LIMIT: u64 = 4096;
/// More reserved fields than any muxer writes.
const MAX_RESERVED: u64 = 64;
