//! Bad sources and decoders that misbehave: one typed error each, and nothing left behind.
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
#[path = "common/nut_encoder.rs"]
mod nut_encoder;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dsb_core::{End, Error, FrameSource, Ns, Opening, Options, Overflow, Rational};
use ffmpeg::{drain, make, options};
use nut_encoder::{Stream, Style};

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A video with sound whose index stands before (`faststart`) or after its data.
fn video(folder: &Path, faststart: bool) -> PathBuf {
    let file = folder.join("video.mp4");
    let flags = if faststart { " -movflags faststart" } else { "" };
    let inputs = "-f lavfi -i testsrc=size=64x48:rate=30:duration=3 -f lavfi -i sine=duration=3";
    make(&format!("{inputs} -pix_fmt yuv420p -c:v libx264 -g 15 -c:a aac{flags}"), &file);
    file
}

/// The error must name the source and say `words`.
fn assert_unusable(file: &Path, words: &str) {
    let error = FrameSource::open(options(file, "2")).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Source { .. }), "{error:?}");
    assert!(message.starts_with(file.to_str().unwrap()) && message.contains(words), "{message}");
    assert!(message.contains("; "), "no remedy: {message}");
}

#[test]
fn a_missing_file() {
    assert_unusable(&folder("missing").join("none.mp4"), "no such file");
}

#[test]
fn a_directory() {
    assert_unusable(&folder("directory.mp4"), "is a directory");
}

#[test]
fn a_text_file() {
    let file = folder("text").join("notes");
    fs::write(&file, "not a video\n".repeat(50)).unwrap();
    assert_unusable(&file, "is not a video");
}

#[test]
fn an_empty_file() {
    let file = folder("empty").join("empty.mp4");
    fs::write(&file, "").unwrap();
    assert_unusable(&file, "");
}

#[test]
fn an_mp4_that_was_cut_before_its_index() {
    let folder = folder("no_index");
    let bytes = fs::read(video(&folder, false)).unwrap();
    let file = folder.join("cut.mp4");
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert_unusable(&file, "moov atom");
}

#[test]
fn a_file_with_sound_only() {
    let file = folder("sound").join("sound.mp4");
    make("-f lavfi -i sine=duration=1 -c:a aac", &file);
    assert_unusable(&file, "no video stream");
}

#[test]
fn a_source_without_a_frame() {
    let file = video(&folder("no_frame"), true);
    let mut late = options(&file, "2");
    let input = late.argv.iter().position(|argument| argument == "-i").unwrap();
    late.argv.splice(input..input, ["-ss".to_owned(), "100".to_owned()]);
    let error = FrameSource::open(late).unwrap_err();
    assert!(error.to_string().contains("has no frame"), "{error}");
}

#[test]
fn an_mp4_that_was_cut_in_its_pictures_delivers_what_is_there_and_then_fails() {
    let folder = folder("cut");
    let bytes = fs::read(video(&folder, true)).unwrap();
    let file = folder.join("cut.mp4");
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = drain(options(&file, "2")).unwrap_err();
    assert!(matches!(&error, Error::Decode { stderr, .. } if stderr.contains("partial file")));
    // The frames before the damage are still to be had where damage is accepted.
    let source = drain(Options { strict: false, ..options(&file, "2") }).unwrap();
    assert!((1..6).contains(&source.frames().newest()));
    assert!(source.decode_errors() > 0 && source.stderr().contains("partial file"));
}

fn corrupt(folder: &Path) -> PathBuf {
    let mut bytes = fs::read(video(folder, true)).unwrap();
    let data = bytes.windows(4).position(|four| four == b"mdat").unwrap() + 8;
    bytes[data..].iter_mut().skip(800).step_by(97).for_each(|byte| *byte ^= 0xFF);
    let file = folder.join("corrupt.mp4");
    fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn a_corrupt_mp4_fails_when_strict() {
    let file = corrupt(&folder("corrupt"));
    let error = drain(options(&file, "2")).unwrap_err();
    assert!(matches!(&error, Error::Decode { .. }), "{error:?}");
    assert!(error.to_string().contains("reported damage"), "{error}");
}

#[test]
fn a_corrupt_mp4_is_counted_when_not_strict() {
    let file = corrupt(&folder("tolerated"));
    let source = drain(Options { strict: false, ..options(&file, "2") }).unwrap();
    assert!(source.decode_errors() > 0);
    assert_eq!(source.frames().end(), Some(End::Eof));
}

#[test]
fn no_decoder_binary() {
    let argv = vec!["no-such-decoder".to_owned()];
    let error = FrameSource::open(fake(argv)).unwrap_err();
    assert_eq!(error, Error::DecoderNotFound { exe: "no-such-decoder".to_owned() });
    assert!(error.to_string().contains("DSB_FFMPEG"));
}

#[test]
fn a_decoder_binary_that_is_no_program() {
    let file = folder("no_program").join("decoder");
    fs::write(&file, "text").unwrap();
    let argv = vec![file.to_str().unwrap().to_owned()];
    assert!(matches!(FrameSource::open(fake(argv)), Err(Error::Spawn { .. })));
}

fn fake(argv: Vec<String>) -> Options {
    Options { capacity: 4, ..Options::new(argv, "video".to_owned()) }
}

/// A child that writes the NUT stream `$0` of 40 frames as `script` says.
fn script(name: &str, script: &str) -> Options {
    let file = folder(name).join("stream.nut");
    let frames = (0..40).map(|pts| (pts, vec![pts as u8; 64 * 64 * 3])).collect();
    let time_base = Rational::new(1, 10).unwrap();
    let stream = Stream { width: 64, height: 64, time_base, frames };
    fs::write(&file, stream.encode(Style::default()).0).unwrap();
    fake(["sh", "-c", script, file.to_str().unwrap()].map(str::to_owned).to_vec())
}

/// Reads to the end, giving frames back as they come; the number of frames and how it ended.
fn consume(source: &FrameSource) -> (u64, Option<Error>) {
    let ring = source.frames();
    for next in 0.. {
        match ring.wait(next, None) {
            Ok(true) => ring.release_before(next + 1),
            Ok(false) => return (next, None),
            Err(error) => return (next, Some(error)),
        }
    }
    unreachable!()
}

#[test]
fn a_decoder_that_ends_well() {
    let source = FrameSource::open(script("well", "cat $0")).unwrap();
    assert_eq!(consume(&source), (40, None));
    assert_eq!(source.time_base(), Rational::new(1, 10).unwrap());
}

#[test]
fn a_decoder_that_is_killed() {
    let source = FrameSource::open(script("killed", "head -c 300000 $0; kill -9 $$")).unwrap();
    let (frames, error) = consume(&source);
    let Some(Error::Decode { status, frames: before, after, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*status, *before, *after), (Some(-9), frames, Some(Ns(2_200_000_000))));
    let said = error.unwrap().to_string();
    assert!(said.contains("after 2.200 s: the decoder was killed by signal 9"), "{said}");
}

#[test]
fn a_decoder_that_is_killed_before_its_first_frame() {
    let error = FrameSource::open(script("early", "kill -9 $$")).unwrap_err();
    assert!(matches!(error, Error::Decode { status: Some(-9), frames: 0, .. }), "{error:?}");
}

#[test]
fn a_decoder_that_fails_after_all_frames() {
    let source = FrameSource::open(script("fails", "cat $0; echo reason >&2; exit 3")).unwrap();
    let (frames, error) = consume(&source);
    assert_eq!(frames, 40);
    assert!(
        matches!(&error, Some(Error::Decode { status: Some(3), stderr, .. }) if stderr == "reason")
    );
}

#[test]
fn a_decoder_that_writes_something_else() {
    let error = FrameSource::open(script("else", "yes")).unwrap_err();
    assert!(matches!(error, Error::Protocol { truncated: false, .. }), "{error:?}");
}

#[test]
fn a_decoder_that_stops_in_the_middle_of_a_frame() {
    let source = FrameSource::open(script("middle", "head -c 300000 $0")).unwrap();
    let (frames, error) = consume(&source);
    assert_eq!(frames, 23);
    let expected = matches!(error, Some(Error::Protocol { truncated: true, frames: 23, .. }));
    assert!(expected, "{error:?}");
}

#[test]
fn a_strict_source_stops_at_the_first_reported_error() {
    let text = "echo '[h264 @ 0x1] [error] no frame!' >&2; sleep 0.2; cat $0; sleep 60";
    let source = FrameSource::open(script("strict", text)).unwrap();
    let (frames, error) = consume(&source);
    assert_eq!(frames, 0);
    let said = error.unwrap().to_string();
    assert!(
        said.contains("before a frame was delivered: ") && said.contains("no frame!"),
        "{said}"
    );
}

#[test]
fn a_decoder_that_talks_a_lot_does_not_stall() {
    let text = "yes '[info] a line' | head -c 3000000 >&2; cat $0";
    let source = FrameSource::open(script("talks", text)).unwrap();
    assert_eq!(consume(&source), (40, None));
    assert_eq!(source.stderr().lines().count(), 64);
}

#[test]
fn a_dropping_ring_keeps_the_newest_frames_and_counts_those_it_could_not_take() {
    let options = Options { overflow: Overflow::DropOldest, ..script("drop", "cat $0") };
    let source = FrameSource::open(options).unwrap();
    assert_eq!(source.frames().wait_until(Ns::MAX, None), Ok(40));
    let capacity = source.frames().capacity() as u64;
    assert_eq!(source.frames().oldest(), 40 - capacity);
}

/// Whether a process of this id exists, also as a zombie.
fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn closing_ends_a_decoder_that_waits_for_room_or_never_ends() {
    for (name, text) in [("room", "cat $0"), ("never", "cat $0; sleep 600")] {
        let source = FrameSource::open(script(name, text)).unwrap();
        let pid = source.pid();
        assert!(exists(pid));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| source.frames().wait(1000, None));
            source.close();
            // The ring may be found full, which is as good an answer as closed.
            let answer = waiter.join().unwrap();
            assert!(matches!(answer, Err(Error::Closed | Error::Full { .. })), "{answer:?}");
        });
        assert!(!exists(pid), "{name}");
        source.close();
    }
}

#[test]
fn giving_up_before_the_first_frame_leaves_no_process() {
    let mut opening = Opening::start(script("giving_up", "echo $$ >$0.pid; sleep 600")).unwrap();
    let file = folder("giving_up").join("stream.nut.pid");
    while fs::read_to_string(&file).is_ok_and(|pid| pid.is_empty()) || !file.exists() {
        assert!(opening.wait(Duration::from_millis(10)).unwrap().is_none());
    }
    let pid = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    fs::remove_file(file).unwrap();
    assert!(exists(pid));
    drop(opening);
    assert!(!exists(pid));
}

#[test]
fn giving_up_after_the_first_frame_ends_a_decoder_that_waits_for_room() {
    // Seven frames for a ring of four; the pipe holds the others.
    let text = "head -c 90000 $0; echo >$0.fed; sleep 600";
    let opening = Opening::start(script("untaken", text)).unwrap();
    let fed = folder("untaken").join("stream.nut.fed");
    while !fed.exists() {
        thread::sleep(Duration::from_millis(1));
    }
    fs::remove_file(fed).unwrap();
    let (done, dropped) = mpsc::channel();
    thread::spawn(move || {
        drop(opening);
        done.send(()).unwrap();
    });
    // Long after the drop would have ended.
    dropped.recv_timeout(Duration::from_secs(30)).unwrap();
}
