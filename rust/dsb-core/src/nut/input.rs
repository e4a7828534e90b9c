//! Bytes, numbers and checked packets of a NUT stream.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use crate::error::{Error, Result};

/// Large reads bypass the buffer, so payloads go from the pipe to their place in one copy.
const BUFFER_BYTES: usize = 4096;
/// Packets whose length is beyond this have a checksum over their first fields, too.
const SHORT_PACKET: u64 = 4096;

/// A reader that counts bytes, sums them up, and stops at the end of a packet.
#[derive(Debug)]
pub(super) struct Input<R> {
    source: BufReader<R>,
    offset: u64,
    checksum: u32,
    /// Bytes left in the current packet.
    left: u64,
}

impl<R: Read> Input<R> {
    pub(super) fn new(source: R) -> Self {
        let source = BufReader::with_capacity(BUFFER_BYTES, source);
        Self { source, offset: 0, checksum: 0, left: u64::MAX }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn error(&self, what: &str) -> Error {
        self.broken(what, false)
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.broken("the stream breaks off", true),
            _ => Error::os("read", error),
        }
    }

    fn broken(&self, what: &str, truncated: bool) -> Error {
        let (offset, what, stderr) = (self.offset, what.to_owned(), String::new());
        Error::Protocol { offset, what, truncated, frames: 0, after: None, stderr }
    }

    /// Fills `bytes`, without summing up.
    pub(super) fn bytes(&mut self, bytes: &mut [u8]) -> Result<()> {
        let count = bytes.len() as u64;
        self.left =
            self.left.checked_sub(count).ok_or_else(|| self.error("a packet that is too short"))?;
        self.source.read_exact(bytes).map_err(|error| self.failed(&error))?;
        self.offset += count;
        Ok(())
    }

    /// Fills `bytes`, summing up.
    pub(super) fn summed_bytes(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.bytes(bytes)?;
        self.checksum = bytes.iter().fold(self.checksum, |sum, byte| add(sum, *byte));
        Ok(())
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.summed_bytes(&mut byte)?;
        Ok(byte[0])
    }

    /// The next byte, `None` at the end of the stream.
    pub(super) fn first_byte(&mut self) -> Result<Option<u8>> {
        loop {
            match self.source.fill_buf() {
                Ok([]) => return Ok(None),
                Ok(_) => return self.byte().map(Some),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::os("read", &error)),
            }
        }
    }

    /// Passes over `count` bytes, without summing up.
    pub(super) fn skip(&mut self, mut count: u64) -> Result<()> {
        let mut scratch = [0; BUFFER_BYTES];
        while count > 0 {
            let part = count.min(BUFFER_BYTES as u64);
            // `part` is at most BUFFER_BYTES.
            self.bytes(&mut scratch[..usize::try_from(part).unwrap_or(BUFFER_BYTES)])?;
            count -= part;
        }
        Ok(())
    }

    /// A number of seven bits per byte, most significant first.
    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        loop {
            let byte = self.byte()?;
            if value >> 56 != 0 {
                return Err(self.error("a number of more than 63 bits"));
            }
            value = value << 7 | u64::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }

    /// A signed number: 0, 1, -1, 2, -2, ... are coded as 0, 1, 2, 3, 4, ...
    pub(super) fn signed_varint(&mut self) -> Result<i64> {
        let value = self.varint()?.cast_signed();
        Ok(if value & 1 == 1 { value / 2 + 1 } else { -(value / 2) })
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// The start code whose first byte, an `N`, has been read.
    pub(super) fn startcode_after_n(&mut self) -> Result<u64> {
        let mut bytes = [b'N', 0, 0, 0, 0, 0, 0, 0];
        self.bytes(&mut bytes[1..])?;
        Ok(u64::from_be_bytes(bytes))
    }

    pub(super) fn start_checksum(&mut self) {
        self.checksum = 0;
    }

    /// Reads the four bytes of the checksum over what was read since [`Input::start_checksum`].
    pub(super) fn verify_checksum(&mut self) -> Result<()> {
        let expected = self.checksum;
        let mut bytes = [0; 4];
        self.bytes(&mut bytes)?;
        if u32::from_be_bytes(bytes) != expected {
            return Err(self.error("a wrong checksum"));
        }
        Ok(())
    }

    /// The rest of a packet with this start code: `parse` reads its fields, what it leaves is passed over, and
    /// the checksum of all is verified before the result counts.
    pub(super) fn packet<T>(
        &mut self,
        startcode: u64,
        parse: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.checksum = startcode.to_be_bytes().iter().fold(0, |sum, byte| add(sum, *byte));
        let length = self.varint()?;
        if length > SHORT_PACKET {
            self.verify_checksum()?;
        }
        self.left =
            length.checked_sub(4).ok_or_else(|| self.error("a packet that is too short"))?;
        self.start_checksum();
        let parsed = parse(self)?;
        let mut scratch = [0; BUFFER_BYTES];
        while self.left > 0 {
            let part =
                usize::try_from(self.left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
            self.summed_bytes(&mut scratch[..part])?;
        }
        self.left = u64::MAX;
        self.verify_checksum()?;
        Ok(parsed)
    }
}

/// CRC-32 with the polynomial 0x04C11DB7, most significant bit first, starting at 0, not inverted.
fn add(sum: u32, byte: u8) -> u32 {
    sum << 8 ^ TABLE[(sum >> 24) as usize ^ byte as usize]
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256; a const cannot try_from")]
        let mut sum = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum >> 31 == 1 { sum << 1 ^ 0x04C1_1DB7 } else { sum << 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};
