//! The NAL units of a sample, of which only the starts are read.

use std::fs::File;

use super::boxes::read_at;
use super::obstacle::Obstacle;
use super::order::SLICE_BYTES;
use super::tables::Sample;

/// A NAL unit: where it is and how it starts.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// Zero after the end of a shorter unit.
    pub(super) head: [u8; 3],
    /// Place in the sample.
    start: u64,
    length: u64,
}

/// Reads the starts of a sample's units.
pub(super) struct Units<'a> {
    window: Window<'a>,
    length_bytes: usize,
    at: u64,
    /// The lengths do not add up.
    pub(super) broken: bool,
}

impl<'a> Units<'a> {
    pub(super) fn new(file: &'a File, length_bytes: usize, sample: &Sample) -> Self {
        let window = Window::new(file, sample.offset, u64::from(sample.size));
        Self { window, length_bytes, at: 0, broken: false }
    }

    pub(super) fn next(&mut self) -> Result<Option<Unit>, Obstacle> {
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
    pub(super) fn read(&mut self, unit: Unit) -> Result<Vec<u8>, Obstacle> {
        if unit.length <= MAX_UNIT { self.bytes(unit.start, unit.length) } else { Ok(Vec::new()) }
    }

    /// The first bytes of a slice.
    pub(super) fn start_of(&mut self, unit: Unit) -> Result<Vec<u8>, Obstacle> {
        self.bytes(unit.start, unit.length.min(SLICE_BYTES))
    }

    fn bytes(&mut self, start: u64, length: u64) -> Result<Vec<u8>, Obstacle> {
        let mut bytes = Vec::new();
        for at in start..start + length {
            bytes.extend(self.window.byte(at)?);
        }
        Ok(bytes)
    }
}

/// Bytes of the largest unit that is read whole.
const MAX_UNIT: u64 = 1 << 16;

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
