//! The NUT reader over arbitrary bytes, and over arbitrary packets whose checksums are right.

use std::io::Read;

use dsb_core::nut::Reader;
use dsb_core::{Error, Ns};

use crate::meter::peak_bytes;
use crate::nut_encoder::{FILE_ID, STARTCODES, crc, packet};

/// More than any header needs, whatever the input says.
const MAX_HELD_BYTES: usize = 32 << 10;
/// Larger pictures are only passed over.
const MAX_PICTURE_BYTES: usize = 1 << 16;
/// Only payloads up to this size may be shortened by an elided header.
const ELISION_LIMIT: usize = 4096;

/// Time stamps up to the end or the error.
type Seen = (Vec<Ns>, Option<Error>);

/// Reads `bytes` to the end in two ways and checks everything that holds for any input.
///
/// # Panics
/// If the reader breaks one of its promises.
pub fn check(bytes: &[u8]) {
    // Room for the time stamps is made beforehand, so that only the reader's own memory is measured.
    let room = Vec::with_capacity(bytes.len());
    let ((skipped, bytes_per_frame), held) = peak_bytes(|| skim(bytes, room));
    assert!(held <= MAX_HELD_BYTES, "{held} bytes held");
    let (times, end) = &skipped;
    assert!(times.len() <= bytes.len());
    assert!(times.first().is_none_or(|first| *first >= Ns::ZERO));
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "time stamps that do not increase");
    let whole = times.len().saturating_sub(1);
    assert!(bytes_per_frame <= ELISION_LIMIT || whole * bytes_per_frame <= bytes.len());
    if bytes_per_frame <= MAX_PICTURE_BYTES {
        let chunk = 1 + bytes.len() % 257;
        let (read, failure) = read(Trickle(bytes, chunk), bytes_per_frame);
        match (end, &failure) {
            // A payload that breaks off has been announced in both ways of reading.
            (
                Some(Error::Protocol { truncated: true, .. }),
                Some(Error::Protocol { truncated, .. }),
            ) => {
                assert!(truncated);
            }
            _ => assert_eq!(end, &failure),
        }
        assert_eq!(times, &read);
    }
}

/// Passes over every payload.
fn skim(bytes: &[u8], mut times: Vec<Ns>) -> (Seen, usize) {
    let mut reader = match Reader::open(bytes) {
        Ok(reader) => reader,
        Err(error) => return ((times, Some(error)), 0),
    };
    let bytes_per_frame = reader.header().frame_bytes();
    let end = loop {
        match reader.next_frame() {
            Ok(Some(time)) => times.push(time),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(reader.offset() <= bytes.len() as u64);
    ((times, end), bytes_per_frame)
}

/// Reads every payload.
fn read(source: impl Read, bytes_per_frame: usize) -> Seen {
    let (mut times, mut picture) = (Vec::new(), vec![0; bytes_per_frame]);
    let all = || -> Result<(), Error> {
        let mut reader = Reader::open(source)?;
        while let Some(time) = reader.next_frame()? {
            times.push(time);
            reader.read_payload(&mut picture)?;
        }
        Ok(())
    };
    let end = all().err();
    (times, end)
}

/// Hands out at most `.1` bytes at a time, as a pipe may.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.1).min(self.0.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// Parts of a stream. A fuzzer cannot guess checksums, so it writes recipes: `[kind, length (2 bytes, little
/// endian), data]` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The data as they are.
    Raw,
    /// A packet with a start code, its length and checksums.
    Packet(u8),
    /// The data and their checksum, as in the header of a frame.
    Summed,
}

impl Piece {
    fn kind(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Summed => 1,
            Self::Packet(index) => 2 + index,
        }
    }

    fn of(kind: u8) -> Self {
        match kind % (2 + STARTCODES.len() as u8) {
            0 => Self::Raw,
            1 => Self::Summed,
            index => Self::Packet(index - 2),
        }
    }

    /// Adds this piece to a recipe. Data beyond 65,535 bytes do not fit.
    pub fn append_to(self, recipe: &mut Vec<u8>, data: &[u8]) {
        let data = &data[..data.len().min(usize::from(u16::MAX))];
        recipe.push(self.kind());
        recipe.extend((data.len() as u16).to_le_bytes());
        recipe.extend(data);
    }
}

/// The stream that a recipe describes. The last piece may be cut short.
pub fn assemble(mut recipe: &[u8]) -> Vec<u8> {
    let mut stream = FILE_ID.to_vec();
    while let [kind, low, high, rest @ ..] = recipe {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (data, rest) = rest.split_at(length);
        match Piece::of(*kind) {
            Piece::Raw => stream.extend(data),
            Piece::Packet(index) => stream.extend(packet(STARTCODES[usize::from(index)], data)),
            Piece::Summed => {
                stream.extend(data);
                stream.extend(crc(data).to_be_bytes());
            }
        }
        recipe = rest;
    }
    stream
}
