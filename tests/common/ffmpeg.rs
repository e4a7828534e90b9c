//! The real decoder, for tests that need one.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;
use std::process::Command;

use dsb_core::{Error, FrameSource, Options};

/// `DSB_FFMPEG`, else `ffmpeg` on the path. These tests have no meaning without it, so its absence is a failure
/// that says what to do.
pub(crate) fn ffmpeg() -> String {
    let exe = std::env::var("DSB_FFMPEG").unwrap_or_else(|_| "ffmpeg".to_owned());
    let runs = Command::new(&exe).arg("-version").output().is_ok_and(|out| out.status.success());
    assert!(runs, "`{exe}` does not run; install ffmpeg or set DSB_FFMPEG");
    exe
}

/// Runs ffmpeg to make a test file; `arguments` are split at spaces.
pub(crate) fn make(arguments: &str, file: &Path) {
    let out = Command::new(ffmpeg())
        .args("-nostdin -y -loglevel error -threads 1".split(' '))
        .args(arguments.split(' '))
        .arg(file)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Decodes `file` at `rate` frames per second to 32 x 32 pixels.
pub(crate) fn options(file: &Path, rate: &str) -> Options {
    let file = file.to_str().unwrap();
    let filter =
        format!("fps={rate}:round=up,scale=32:32:flags=bicubic+accurate_rnd+full_chroma_int");
    let before = "-hide_banner -nostdin -nostats -loglevel level+warning -copyts -start_at_zero";
    let after = "-fps_mode passthrough -c:v rawvideo -pix_fmt rgb24 -flush_packets 1 -f nut pipe:1";
    let argv = [ffmpeg()]
        .into_iter()
        .chain(before.split(' ').map(str::to_owned))
        .chain(["-i", file, "-map", "0:v:0", "-vf", &filter].map(str::to_owned))
        .chain(after.split(' ').map(str::to_owned))
        .collect();
    let name = file.to_owned();
    Options { capacity: 1024, ..Options::new(argv, name) }
}

/// Opens the source and reads it to its end, or to its error.
pub(crate) fn drain(options: Options) -> Result<FrameSource, Error> {
    let source = FrameSource::open(options)?;
    source.frames().wait_until(dsb_core::Ns::MAX, None)?;
    Ok(source)
}
