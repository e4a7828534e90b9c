//! The first inputs of every target.

use std::fs;
use std::path::Path;
use std::process::Command;

use dsb_core::Rational;

use crate::nut::{Piece, assemble};
use crate::nut_encoder::{FILE_ID, STARTCODES, Stream, Style};

/// Writes them into one folder per target.
pub fn write(folder: &Path) -> std::io::Result<()> {
    nut(folder)?;
    mp4(folder)
}

/// What the videos have in common: a moment of a very small picture.
const SOURCE: &str = "-nostdin -y -loglevel error -f lavfi -i testsrc=size=32x32:rate=8:duration=5";
/// How they differ.
const VIDEOS: [&str; 6] = [
    "-c:v libx264 -bf 3 -g 16 -x264-params b-pyramid=normal:sei=0",
    "-c:v libx264 -bf 0 -g 4 -movflags faststart",
    "-c:v libx264 -preset ultrafast -g 8 -bf 2 -fps_mode vfr -vf select='not(eq(mod(n\\,5)\\,2))'",
    "-c:v libx265 -x265-params log-level=none:keyint=12:bframes=3:info=0 -tag:v hvc1",
    "-c:v libx265 -x265-params log-level=none:temporal-layers=2:keyint=8:info=0",
    "-c:v libx264 -bf 2 -g 8 -movflags frag_keyframe",
];

/// Small videos, where an ffmpeg is at hand that can encode them; without, the fuzzer starts from nothing.
fn mp4(folder: &Path) -> std::io::Result<()> {
    let folder = folder.join("mp4");
    fs::create_dir_all(&folder)?;
    let ffmpeg = std::env::var("DSB_FFMPEG").unwrap_or_else(|_| "ffmpeg".to_owned());
    for (number, how) in VIDEOS.into_iter().enumerate() {
        let file = folder.join(format!("video-{number}.mp4"));
        if !file.exists() {
            let mut command = Command::new(&ffmpeg);
            command.args(SOURCE.split(' ')).args(how.split(' ')).arg(file);
            // A missing encoder is a missing seed.
            drop(command.status());
        }
    }
    Ok(())
}

/// Streams of each style, as they are and as recipes.
fn nut(folder: &Path) -> std::io::Result<()> {
    let (streams, recipes) = (folder.join("nut"), folder.join("nut_packets"));
    fs::create_dir_all(&streams)?;
    fs::create_dir_all(&recipes)?;
    for (number, (stream, style)) in nut_streams().into_iter().enumerate() {
        let (bytes, payloads) = stream.encode(style);
        fs::write(streams.join(format!("stream-{number}")), &bytes)?;
        let recipe = recipe_of(&bytes, &payloads, style.checked);
        assert_eq!(assemble(&recipe), bytes, "a recipe makes the stream that it was taken from");
        fs::write(recipes.join(format!("recipe-{number}")), recipe)?;
    }
    Ok(())
}

fn nut_streams() -> Vec<(Stream, Style)> {
    let mut all = Vec::new();
    for (width, height, frames) in [(1, 1, 0), (2, 3, 9), (7, 5, 4), (40, 40, 1)] {
        for (checked, short_pts, elide) in
            [(true, true, &[][..]), (false, true, &[5, 5][..]), (true, false, &[][..])]
        {
            let time_base = Rational::new(1, 90_000).unwrap_or_else(|_| unreachable!());
            let bytes = (width * height * 3) as usize;
            let frames = (0..frames).map(|n| (n * 37 * n, vec![5; bytes])).collect();
            let style = Style {
                syncpoint_every: 3,
                checked,
                short_pts,
                repeat_every: 4,
                info_bytes: 20,
                elide,
            };
            all.push((Stream { width, height, time_base, frames }, style));
        }
    }
    all
}

/// Takes a stream apart again.
fn recipe_of(stream: &[u8], payloads: &[std::ops::Range<usize>], checked: bool) -> Vec<u8> {
    let (mut recipe, mut at) = (Vec::new(), FILE_ID.len());
    let mut payloads = payloads.iter();
    while at < stream.len() {
        let rest = &stream[at..];
        let code = STARTCODES.iter().position(|code| rest.starts_with(code));
        if let Some(code) = code {
            let (length, mut start) = varint(&rest[8..]);
            start += 8 + if length > 4096 { 4 } else { 0 };
            Piece::Packet(code as u8).append_to(&mut recipe, &rest[start..start + length - 4]);
            at += start + length;
        } else {
            let payload = payloads.next().cloned().unwrap_or(at..stream.len());
            let header = &stream[at..payload.start];
            match header.split_last_chunk::<4>() {
                Some((header, _)) if checked => Piece::Summed.append_to(&mut recipe, header),
                _ => Piece::Raw.append_to(&mut recipe, header),
            }
            Piece::Raw.append_to(&mut recipe, &stream[payload.clone()]);
            at = payload.end;
        }
    }
    recipe
}

/// The number at the start of `bytes` and how many bytes it takes.
fn varint(bytes: &[u8]) -> (usize, usize) {
    let length = 1 + bytes.iter().take_while(|byte| **byte & 0x80 != 0).count();
    let value = bytes[..length].iter().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7F));
    (value, length)
}
