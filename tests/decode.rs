//! Frames and their times through a real ffmpeg.
//!
//! Picture n of a test video is a field of one grey level that encodes n, so that tests see which picture came.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test values are small, and a test may panic"
)]

#[path = "common/ffmpeg.rs"]
mod ffmpeg;

use std::path::PathBuf;

use dsb_core::{FrameSource, Ns, Rational};
use ffmpeg::{drain, make, options};

/// Grey levels between neighbouring pictures.
const STEP: usize = 4;

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A video of `count` numbered pictures at `rate`; `codec` and what follows go to ffmpeg.
fn video(name: &str, rate: &str, count: usize, codec: &str) -> PathBuf {
    let file = folder("decode").join(name);
    let source = format!("color=size=64x64:rate={rate},geq=lum=16+{STEP}*N:cb=128:cr=128");
    make(&format!("-f lavfi -i {source} -frames:v {count} -pix_fmt yuv420p {codec}"), &file);
    file
}

/// Time stamp and picture number of every frame that the source delivers.
fn numbered(source: &FrameSource) -> Vec<(Ns, usize)> {
    let ring = source.frames();
    let window = ring.window(ring.oldest(), ring.newest(), 1).unwrap();
    let numbers = window.records().map(|frame| {
        let luma: usize = frame.iter().map(|byte| usize::from(*byte)).sum::<usize>() / frame.len();
        // Full-range grey back to the limited range of the file.
        let level = 16.0 + luma as f64 * 219.0 / 255.0;
        ((level - 16.0) / STEP as f64).round() as usize
    });
    window.pts().iter().copied().zip(numbers).collect()
}

/// The picture on screen at each tick of `rate`, from the exact times of the pictures.
fn on_screen(picture: impl Fn(usize) -> Ns, count: usize, rate: Rational) -> Vec<(Ns, usize)> {
    let last = picture(count - 1);
    let mut shown = Vec::new();
    for number in 0..i64::MAX {
        let tick = Ns::from_pts(number, rate.recip()).unwrap();
        if tick > last {
            break;
        }
        shown.extend((0..count).rfind(|n| picture(*n) <= tick).map(|n| (tick, n)));
    }
    shown
}

fn assert_causal(name: &str, rate: (u64, u64), codec: &str) {
    let file = video(name, &format!("{}/{}", rate.0, rate.1), 50, codec);
    let source = drain(options(&file, "4")).unwrap();
    let base = Rational::new(rate.1, rate.0).unwrap();
    let seen = numbered(&source);
    let expected =
        on_screen(|n| Ns::from_pts(n as i64, base).unwrap(), 50, Rational::new(4, 1).unwrap());
    // Past the last picture the filter may hold it for one more tick.
    assert!(seen.len() >= expected.len() && seen.len() <= expected.len() + 1, "{seen:?}");
    assert_eq!(seen[..expected.len()], expected);
    assert_eq!(source.size(), (32, 32));
    assert_eq!(source.decode_errors(), 0);
    assert!(!source.decode_cpu().is_zero() && source.decode_wall() >= source.decode_cpu() / 64);
}

#[test]
fn each_tick_shows_the_latest_picture_that_is_not_later() {
    assert_causal("cfr.mp4", (30, 1), "-c:v libx264 -qp 1 -bf 0");
}

#[test]
fn b_frames_do_not_change_what_is_on_screen() {
    assert_causal("b.mp4", (25, 1), "-c:v libx264 -qp 1 -bf 3 -b_strategy 0");
}

#[test]
fn ntsc_rates_do_not_drift() {
    assert_causal("ntsc.mp4", (30_000, 1001), "-c:v libx264 -qp 1");
}

#[test]
fn a_stream_that_is_read_frame_by_frame_keeps_every_time_stamp() {
    // The time of picture n is n^2 / 100 seconds: no constant rate fits.
    let file = folder("decode").join("vfr.mkv");
    let source = format!(
        "color=size=64x64:rate=25,geq=lum=16+{STEP}*N:cb=128:cr=128,settb=1/1000,setpts=N*N*10"
    );
    let codec = "-fps_mode passthrough -enc_time_base 1/1000 -pix_fmt yuv420p -c:v ffv1";
    make(&format!("-f lavfi -i {source} -frames:v 20 {codec}"), &file);
    let mut all = options(&file, "4");
    let filter = all.argv.iter().position(|argument| argument == "-vf").unwrap();
    // Otherwise the encoder would round to the nominal frame rate.
    all.argv
        .splice(filter.., ["-enc_time_base", "1/1000", "-vf", "scale=32:32"].map(str::to_owned));
    let after = "-fps_mode passthrough -c:v rawvideo -pix_fmt rgb24 -f nut pipe:1";
    all.argv.extend(after.split(' ').map(str::to_owned));
    let source = drain(all).unwrap();
    let expected: Vec<(Ns, usize)> =
        (0..20).map(|n| (Ns((n * n) as i64 * 10_000_000), n)).collect();
    assert_eq!(numbered(&source), expected);
}

#[test]
fn the_same_file_gives_the_same_pixels_again() {
    let file = video("again.mp4", "25/1", 30, "-c:v libx264");
    let digests = || {
        let source = drain(options(&file, "2")).unwrap();
        source.frames().window(0, source.frames().newest(), 1).unwrap().digests()
    };
    assert_eq!(digests(), digests());
}

#[test]
fn leases_stay_valid_after_the_source_is_gone() {
    let file = video("lease.mp4", "25/1", 30, "-c:v libx264 -qp 1");
    let source = drain(options(&file, "5")).unwrap();
    let before = numbered(&source);
    let window = source.frames().window(0, before.len() as u64, 1).unwrap();
    let copy = window.to_vec();
    drop(source);
    assert_eq!(window.to_vec(), copy);
}
