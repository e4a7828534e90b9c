//! The NUT reader against an independent muxer, and against damage.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test values are small, and a test may panic"
)]

#[path = "common/nut_encoder.rs"]
mod nut_encoder;

use std::io::Read;

use dsb_core::nut::Reader;
use dsb_core::{Error, Ns, Rational};
use nut_encoder::{Stream, Style, varint};
use proptest::prelude::*;

/// Reads all frames; those before an error come with it.
fn read_all(source: impl Read) -> (Vec<(Ns, Vec<u8>)>, Option<Error>) {
    let mut frames = Vec::new();
    let error = read_into(source, &mut frames).err();
    (frames, error)
}

fn read_into(source: impl Read, frames: &mut Vec<(Ns, Vec<u8>)>) -> Result<(), Error> {
    let mut reader = Reader::open(source)?;
    let mut pixels = vec![0; reader.header().frame_bytes()];
    while let Some(pts) = reader.next_frame()? {
        reader.read_payload(&mut pixels)?;
        frames.push((pts, pixels.clone()));
    }
    Ok(())
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

fn streams() -> impl Strategy<Value = Stream> {
    let base = (1_u64..=60_000, 1_u64..=120_000);
    let steps = prop::collection::vec((1_i64..300, any::<u8>()), 0..12);
    (1_u32..40, 1_u32..40, base, steps).prop_map(|(width, height, (num, den), steps)| {
        let mut pts = 0;
        let bytes = (width * height * 3) as usize;
        let frames = steps.into_iter().enumerate().map(|(index, (step, seed))| {
            // The first frame may come at 0.
            pts += if index == 0 { step - 1 } else { step };
            (pts, (0..bytes).map(|i| seed.wrapping_mul(31).wrapping_add((i * i) as u8)).collect())
        });
        let frames = frames.collect();
        Stream { width, height, time_base: Rational::new(num, den).unwrap(), frames }
    })
}

fn styles() -> impl Strategy<Value = Style> {
    let elide = prop_oneof![Just(&[][..]), Just(&[0][..]), Just(&[31, 32][..])];
    (1_usize..6, any::<bool>(), any::<bool>(), 1_usize..6, elide).prop_map(
        |(syncpoint_every, checked, short_pts, repeat_every, elide)| Style {
            syncpoint_every,
            checked,
            short_pts,
            repeat_every,
            elide,
            ..Style::default()
        },
    )
}

fn expected(stream: &Stream) -> Vec<(Ns, Vec<u8>)> {
    let time = |pts| Ns::from_pts(pts, stream.time_base).unwrap();
    stream.frames.iter().map(|(pts, pixels)| (time(*pts), pixels.clone())).collect()
}

proptest! {
    #[test]
    fn what_was_written_is_read_however_it_trickles_in(
        stream in streams(), style in styles(), chunk in 1_usize..5000,
    ) {
        let (bytes, _) = stream.encode(style);
        let reader = Reader::open(&bytes[..]).unwrap();
        prop_assert_eq!(reader.header().width, stream.width);
        prop_assert_eq!(reader.header().height, stream.height);
        prop_assert_eq!(reader.header().time_base, stream.time_base);
        prop_assert_eq!(read_all(Trickle(&bytes, chunk)), (expected(&stream), None));
    }

    #[test]
    fn a_truncated_stream_gives_whole_frames_and_then_ends_or_fails(
        stream in streams(), style in styles(), at in any::<prop::sample::Index>(),
    ) {
        let (bytes, _) = stream.encode(style);
        let (frames, error) = read_all(&bytes[..at.index(bytes.len())]);
        let all = expected(&stream);
        prop_assert!(frames.len() <= all.len());
        prop_assert_eq!(&frames[..], &all[..frames.len()]);
        if let Some(error) = error {
            let truncated = matches!(error, Error::Protocol { truncated: true, .. });
            prop_assert!(truncated, "{}", error);
        }
    }

    #[test]
    fn a_flipped_byte_outside_the_pixels_is_an_error(
        stream in streams(), mut style in styles(), at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        style.checked = true;
        let (mut bytes, payloads) = stream.encode(style);
        let at = at.index(bytes.len());
        prop_assume!(!payloads.iter().any(|payload| payload.contains(&at)));
        bytes[at] ^= flip;
        let (frames, error) = read_all(&bytes[..]);
        prop_assert!(error.is_some(), "byte {} of {}", at, bytes.len());
        let all = expected(&stream);
        prop_assert_eq!(&frames[..], &all[..frames.len()]);
    }

    #[test]
    fn a_missing_byte_outside_the_pixels_is_an_error(
        stream in streams(), mut style in styles(), at in any::<prop::sample::Index>(),
    ) {
        style.checked = true;
        let (mut bytes, payloads) = stream.encode(style);
        let at = at.index(bytes.len());
        prop_assume!(!payloads.iter().any(|payload| payload.contains(&at)));
        bytes.remove(at);
        prop_assert!(read_all(&bytes[..]).1.is_some(), "byte {} of {}", at, bytes.len());
    }

    #[test]
    fn damage_anywhere_never_panics_and_never_breaks_the_order(
        stream in streams(), style in styles(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (mut bytes, _) = stream.encode(style);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (frames, _) = read_all(&bytes[..]);
        prop_assert!(frames.windows(2).all(|pair| pair[0].0 < pair[1].0));
        prop_assert!(frames.iter().all(|(_, pixels)| pixels.len() == stream_bytes(&stream)));
    }

    #[test]
    fn noise_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Reader::open(&bytes[..]).is_err());
    }

    #[test]
    fn noise_after_the_signature_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let stream = [&b"nut/multimedia container\0NMzV\x1F_\x04\xAD"[..], &bytes].concat();
        prop_assert!(Reader::open(&stream[..]).is_err());
    }
}

fn stream_bytes(stream: &Stream) -> usize {
    (stream.width * stream.height * 3) as usize
}

fn one_frame(width: u32, height: u32) -> Stream {
    let time_base = Rational::new(1, 25).unwrap();
    Stream { width, height, time_base, frames: vec![(0, vec![9; (width * height * 3) as usize])] }
}

#[test]
fn lengths_in_the_input_allocate_nothing() {
    // A packet that claims 2^62 bytes: reserving that much would abort.
    let mut bytes = b"nut/multimedia container\0NMzV\x1F_\x04\xAD".to_vec();
    varint(&mut bytes, 1 << 62);
    bytes.extend([0; 64]);
    assert!(matches!(read_all(&bytes[..]).1, Some(Error::Protocol { .. })));
    // A picture of 2^32 by 2^32 pixels.
    let mut stream = one_frame(1, 1);
    (stream.width, stream.height) = (u32::MAX, u32::MAX);
    let error = read_all(&stream.encode(Style::default()).0[..]).1.unwrap();
    assert!(error.to_string().contains("picture size"), "{error}");
}

#[test]
fn a_frame_of_another_size_is_an_error() {
    let mut stream = one_frame(4, 4);
    stream.frames[0].1.pop();
    assert!(read_all(&stream.encode(Style::default()).0[..]).1.is_some());
}

#[test]
fn a_time_stamp_that_does_not_increase_is_an_error() {
    let mut stream = one_frame(4, 4);
    stream.frames.push(stream.frames[0].clone());
    let (frames, error) = read_all(&stream.encode(Style::default()).0[..]);
    assert_eq!(frames.len(), 1);
    assert!(error.unwrap().to_string().contains("does not increase"));
}

#[test]
fn payloads_that_nobody_reads_are_passed_over() {
    let mut stream = one_frame(30, 20);
    stream.frames.extend((1..4).map(|pts| (pts, vec![pts as u8; 1800])));
    let (bytes, _) = stream.encode(Style::default());
    let mut reader = Reader::open(&bytes[..]).unwrap();
    let mut times = Vec::new();
    while let Some(pts) = reader.next_frame().unwrap() {
        times.push(pts);
    }
    assert_eq!(times, expected(&stream).into_iter().map(|(pts, _)| pts).collect::<Vec<_>>());
}
