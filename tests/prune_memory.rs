//! Tables that claim much take little memory. Alone in its process, because it measures all of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "common/meter.rs"]
mod meter;

use std::fs::{self, File};
use std::path::PathBuf;

use dsb_core::prune::{Index, Obstacle};

fn container(kind: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes(), &kind[..], &body].concat()
}

/// A file whose one table of sizes says that it holds `count` samples of one byte.
fn claiming(count: u32) -> Vec<u8> {
    let config = container(*b"avcC", &[&[1, 66, 0, 10, 0xFF, 0xE0, 0]]);
    let entry = container(*b"avc1", &[&[0; 78], &config]);
    let descriptions = container(*b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &entry]);
    let sizes = container(*b"stsz", &[&[0; 4], &1_u32.to_be_bytes(), &count.to_be_bytes()]);
    let tables = container(*b"stbl", &[&descriptions, &sizes]);
    let here = container(*b"url ", &[&[0, 0, 0, 1]]);
    let references = container(*b"dref", &[&[0, 0, 0, 0, 0, 0, 0, 1], &here]);
    let information = container(*b"minf", &[&container(*b"dinf", &[&references]), &tables]);
    let clock = container(*b"mdhd", &[&[0; 12], &1000_u32.to_be_bytes(), &[0; 8]]);
    let handler = container(*b"hdlr", &[&[0; 8], b"vide", &[0; 13]]);
    let media = container(*b"mdia", &[&clock, &handler, &information]);
    let movie = container(*b"moov", &[&container(*b"trak", &[&media])]);
    [container(*b"ftyp", &[b"isom", &[0; 4]]), movie].concat()
}

#[test]
fn a_number_of_samples_that_the_file_cannot_hold_takes_no_memory() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("claims_samples.mp4");
    fs::write(&path, claiming(4_000_000)).unwrap();
    let file = File::open(path).unwrap();
    let (index, held) = meter::peak_bytes(|| Index::read(&file));
    let beyond = Obstacle::Tables("samples beyond the end of the file");
    assert_eq!(index.err(), Some(beyond));
    assert!(held < 64 << 10, "{held} bytes");
}
