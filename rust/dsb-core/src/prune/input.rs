//! A file with other tables, without a copy of its packets.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};

use super::index::{Index, Plan, Stamp};
use super::obstacle::Obstacle;
use crate::os;

/// The files from which a decoder that inherits them reads the pruned video.
///
/// The old `moov` box becomes a `free` box by other four bytes in its header, and the new one follows the end of the
/// file. Three pieces of the file and two of a small file in memory are put together by the decoder's own `concat`
/// and `subfile` protocols.
#[derive(Debug)]
pub struct PrunedInput {
    file: File,
    tables: File,
    /// The old `moov` box's name, and the length of the file.
    name_at: u64,
    length: u64,
    tables_length: u64,
}

const FREE: &[u8; 4] = b"free";

impl PrunedInput {
    /// `file` with what `plan` of its `index` keeps. [`Obstacle::Changed`] if it is not the file of the index,
    /// [`Obstacle::Unreadable`] if no file in memory is to be had.
    pub fn new(file: File, index: &Index, plan: &Plan) -> Result<Self, Obstacle> {
        if Stamp::of(&file)? != index.stamp {
            return Err(Obstacle::Changed);
        }
        let movie = index.rewrite(plan)?;
        let length = index.stamp.length;
        let mut tables = os::memory_file().map_err(|_| Obstacle::Unreadable)?;
        let written = tables.write_all(FREE).and_then(|()| tables.write_all(&movie));
        written.map_err(|_| Obstacle::Unreadable)?;
        let tables_length = (FREE.len() + movie.len()) as u64;
        Ok(Self { file, tables, name_at: index.place.start + 4, length, tables_length })
    }

    /// What the decoder has to open. Needs the protocols `concat`, `subfile` and `file`.
    pub fn url(&self) -> String {
        let (file, tables) = (self.file.as_raw_fd(), self.tables.as_raw_fd());
        let pieces = [
            (file, 0, self.name_at),
            (tables, 0, 4),
            (file, self.name_at + 4, self.length),
            (tables, 4, self.tables_length),
        ];
        let piece = |(fd, start, end)| format!("subfile,,start,{start},end,{end},,:/dev/fd/{fd}");
        format!("concat:{}", pieces.map(piece).join("|"))
    }

    /// The descriptors that the decoder inherits, under the same numbers.
    pub(crate) fn descriptors(&self) -> [RawFd; 2] {
        [self.file.as_raw_fd(), self.tables.as_raw_fd()]
    }
}
