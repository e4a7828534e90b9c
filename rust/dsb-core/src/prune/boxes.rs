//! Boxes of the ISO base media file format (ISO/IEC 14496-12, 4.2): bounded reading of hostile bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::obstacle::Obstacle;

/// A four-character code.
pub(super) type Kind = [u8; 4];

/// Big-endian numbers out of a slice; every read outside of it is an [`Obstacle::Tables`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn from(self, start: usize) -> Result<Bytes<'a>, Obstacle> {
        self.0.get(start..).map(Bytes).ok_or(TOO_SHORT)
    }

    pub(super) fn u8(self, at: usize) -> Result<u8, Obstacle> {
        self.0.get(at).copied().ok_or(TOO_SHORT)
    }

    pub(super) fn u16(self, at: usize) -> Result<u16, Obstacle> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub(super) fn u32(self, at: usize) -> Result<u32, Obstacle> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub(super) fn u64(self, at: usize) -> Result<u64, Obstacle> {
        self.array(at).map(u64::from_be_bytes)
    }

    pub(super) fn kind(self, at: usize) -> Result<Kind, Obstacle> {
        self.array(at)
    }

    /// The `count` entries of `bytes` each that follow a version, flags and their number.
    pub(super) fn entries(self, bytes: usize) -> Result<std::slice::ChunksExact<'a, u8>, Obstacle> {
        let count = self.u32(4)? as usize;
        let length = count.checked_mul(bytes).ok_or(TOO_SHORT)?;
        let rest = self.from(8)?;
        rest.0.get(..length).map(|entries| entries.chunks_exact(bytes)).ok_or(TOO_SHORT)
    }

    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Obstacle> {
        let end = at.checked_add(N).ok_or(TOO_SHORT)?;
        self.0.get(at..end).and_then(|bytes| bytes.try_into().ok()).ok_or(TOO_SHORT)
    }
}

const TOO_SHORT: Obstacle = Obstacle::Tables("a box ends before its contents");

/// A box in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Box<'a> {
    pub(super) kind: Kind,
    /// With its header.
    pub(super) whole: &'a [u8],
    pub(super) body: Bytes<'a>,
}

/// The boxes that fill `bytes` exactly.
pub(super) fn children(bytes: Bytes<'_>) -> Result<Vec<Box<'_>>, Obstacle> {
    let mut boxes = Vec::new();
    let mut rest = bytes.0;
    while !rest.is_empty() {
        // Some writers close a list of boxes with four zero bytes.
        if rest.len() < 8 && rest.iter().all(|byte| *byte == 0) {
            break;
        }
        let here = Bytes(rest);
        let (header, length) = match here.u32(0)? {
            0 => return Err(Obstacle::Tables("a box without a size")),
            1 => (16, usize::try_from(here.u64(8)?).map_err(|_| TOO_SHORT)?),
            length => (8, length as usize),
        };
        if length < header || length > rest.len() {
            return Err(Obstacle::Tables("a box whose size cannot be"));
        }
        let (whole, after) = rest.split_at(length);
        boxes.push(Box { kind: here.kind(4)?, whole, body: Bytes(whole).from(header)? });
        rest = after;
    }
    Ok(boxes)
}

/// The only box of this kind, if there is one.
pub(super) fn find<'a>(boxes: &[Box<'a>], kind: Kind) -> Result<Option<Box<'a>>, Obstacle> {
    let mut found = boxes.iter().filter(|each| each.kind == kind);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => {
            Err(Obstacle::Tables("a box that should be the only one of its kind"))
        }
        (first, _) => Ok(first.copied()),
    }
}

/// The only box of this kind.
pub(super) fn only<'a>(boxes: &[Box<'a>], kind: Kind) -> Result<Box<'a>, Obstacle> {
    find(boxes, kind)?.ok_or(Obstacle::Tables("a table is missing"))
}

/// Appends a box that holds `parts`.
pub(super) fn write(out: &mut Vec<u8>, kind: Kind, body: &[u8]) -> Result<(), Obstacle> {
    let length = u32::try_from(body.len() + 8).map_err(|_| Obstacle::TooLong)?;
    out.extend(length.to_be_bytes());
    out.extend(kind);
    out.extend(body);
    Ok(())
}

/// A box of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileBox {
    pub(super) kind: Kind,
    pub(super) start: u64,
    /// Bytes of the header.
    pub(super) header: u64,
    pub(super) end: u64,
}

/// Boxes at the top of a file: more than any writer of unfragmented files makes.
const MAX_BOXES: usize = 4096;

/// The boxes that fill `file` exactly. [`Obstacle::Container`] unless the first one is known to start such files.
pub(super) fn top(file: &File, length: u64) -> Result<Vec<FileBox>, Obstacle> {
    let mut boxes: Vec<FileBox> = Vec::new();
    let mut start = 0;
    while start < length {
        let mut head = [0; 16];
        let have = head.len().min(usize::try_from(length - start).unwrap_or(head.len()));
        read_at(file, &mut head[..have], start)?;
        let bytes = Bytes(&head[..have]);
        let kind = bytes.kind(4).map_err(|_| Obstacle::Trailing)?;
        if boxes.is_empty()
            && !matches!(&kind, b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip")
        {
            return Err(Obstacle::Container);
        }
        let (header, size) = match bytes.u32(0)? {
            0 => return Err(Obstacle::Trailing),
            1 => (16, bytes.u64(8)?),
            size => (8, u64::from(size)),
        };
        let end = start.checked_add(size).filter(|end| *end <= length).ok_or(Obstacle::Trailing)?;
        if size < header || boxes.len() == MAX_BOXES {
            return Err(Obstacle::Trailing);
        }
        boxes.push(FileBox { kind, start, header, end });
        start = end;
    }
    Ok(boxes)
}

pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> Result<(), Obstacle> {
    file.read_exact_at(bytes, at).map_err(|_| Obstacle::Unreadable)
}
