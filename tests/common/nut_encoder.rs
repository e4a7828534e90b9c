//! A small NUT muxer: the counterpart that the reader is tested against.

use dsb_core::Rational;

/// Which frames get which optional parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// A syncpoint stands before every frame whose index is a multiple of this.
    pub(crate) syncpoint_every: usize,
    /// Frame headers carry a checksum.
    pub(crate) checked: bool,
    /// Time stamps are coded by their low bits where that is enough.
    pub(crate) short_pts: bool,
    /// Headers and an index are repeated after every frame whose index is a multiple of this.
    pub(crate) repeat_every: usize,
    /// Bytes of the information packet after the headers.
    pub(crate) info_bytes: usize,
    /// Payloads of at most 4096 bytes that start with these bytes are written without them.
    pub(crate) elide: &'static [u8],
}

impl Default for Style {
    fn default() -> Self {
        Self {
            syncpoint_every: 4,
            checked: true,
            short_pts: true,
            repeat_every: 5,
            info_bytes: 5000,
            elide: &[],
        }
    }
}

/// A stream of rgb24 frames.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) time_base: Rational,
    pub(crate) frames: Vec<(i64, Vec<u8>)>,
}

const PTS_SHIFT: u32 = 7;
pub(crate) const FILE_ID: &[u8] = b"nut/multimedia container\0";
/// Main header, stream header, syncpoint, index, information.
pub(crate) const STARTCODES: [[u8; 8]; 5] = [
    *b"NMzV\x1F_\x04\xAD",
    *b"NS\x11@[\xF2\xF9\xDB",
    *b"NK\xE4\xAD\xEE\xCAEi",
    *b"NX\xDDg/#\xE6N",
    *b"NI\xABh\xB5\x96\xBAx",
];

impl Stream {
    /// The bytes, and which of them are payload.
    pub(crate) fn encode(&self, style: Style) -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
        let mut out = FILE_ID.to_vec();
        let [main, track, syncpoint, index, info] = STARTCODES;
        let main = packet(main, &self.main_header(style));
        let track = packet(track, &self.track_header());
        let info = packet(info, &vec![7; style.info_bytes]);
        out.extend(main.iter().chain(&track).chain(&info));
        let (mut payloads, mut reference) = (Vec::new(), 0);
        for (number, (pts, pixels)) in self.frames.iter().enumerate() {
            if number % style.syncpoint_every == 0 {
                let mut body = Vec::new();
                varint(&mut body, pts.cast_unsigned());
                varint(&mut body, 0);
                out.extend(packet(syncpoint, &body));
                reference = *pts;
            }
            let elided =
                !style.elide.is_empty() && pixels.len() <= 4096 && pixels.starts_with(style.elide);
            out.extend(frame_header(style, *pts, reference, pixels.len(), elided));
            let start = out.len();
            out.extend(&pixels[if elided { style.elide.len() } else { 0 }..]);
            payloads.push(start..out.len());
            reference = *pts;
            if number % style.repeat_every == style.repeat_every - 1 {
                out.extend(main.iter().chain(&track));
                out.extend(packet(index, &[3; 100]));
            }
        }
        (out, payloads)
    }

    fn main_header(&self, style: Style) -> Vec<u8> {
        let mut body = Vec::new();
        // With a distance of 0 no frame header may go without its checksum.
        let max_distance = if style.checked { 0 } else { 65_536 };
        for value in
            [3, 1, max_distance, 1, self.time_base.num().into(), self.time_base.den().into()]
        {
            varint(&mut body, value);
        }
        // One run: all codes have their flags coded; pts 0, multiplier 1, track 0, size 0, reserved 0, 255 codes.
        for value in [4096, 6, 0, 1, 0, 0, 0, 255] {
            varint(&mut body, value);
        }
        varint(&mut body, u64::from(!style.elide.is_empty()));
        if !style.elide.is_empty() {
            varint(&mut body, style.elide.len() as u64);
            body.extend(style.elide);
        }
        body
    }

    fn track_header(&self) -> Vec<u8> {
        let mut body = vec![0, 0, 4, b'R', b'G', b'B', 24];
        for value in
            [0, PTS_SHIFT.into(), 1 << 40, 0, 0, 0, self.width.into(), self.height.into(), 1, 1, 0]
        {
            varint(&mut body, value);
        }
        body
    }
}

fn frame_header(style: Style, pts: i64, reference: i64, size: usize, elided: bool) -> Vec<u8> {
    let (coded_pts, size_msb, checksum, header_index) = (8, 32, 64, 1024);
    let mut flags = 1 | coded_pts | size_msb;
    if style.checked {
        flags |= checksum;
    }
    if elided {
        flags |= header_index;
    }
    let mut header = vec![0];
    varint(&mut header, 4096 ^ flags);
    let window = 1_i64 << PTS_SHIFT;
    let short = style.short_pts && (1..window / 2).contains(&(pts - reference));
    varint(&mut header, if short { pts & (window - 1) } else { pts + window }.cast_unsigned());
    varint(&mut header, size as u64);
    if elided {
        varint(&mut header, 1);
    }
    if style.checked {
        let sum = crc(&header);
        header.extend(sum.to_be_bytes());
    }
    header
}

pub(crate) fn packet(startcode: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut out = startcode.to_vec();
    let length = body.len() as u64 + 4;
    varint(&mut out, length);
    if length > 4096 {
        let sum = crc(&out);
        out.extend(sum.to_be_bytes());
    }
    out.extend(body);
    out.extend(crc(body).to_be_bytes());
    out
}

/// Seven bits per byte, most significant first.
pub(crate) fn varint(out: &mut Vec<u8>, value: u64) {
    let groups = (64 - value.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let bits = u8::try_from(value >> (7 * group) & 0x7F).unwrap();
        out.push(bits | if group > 0 { 0x80 } else { 0 });
    }
}

/// CRC-32 by definition, bit by bit.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |i| u32::from(byte >> i & 1))) {
        let carry = (sum >> 31) ^ bit;
        sum = (sum << 1) ^ (carry * 0x04C1_1DB7);
    }
    sum
}
