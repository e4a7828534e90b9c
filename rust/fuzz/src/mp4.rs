//! The tables of MP4 files and the headers of their packets over arbitrary bytes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use dsb_core::Rational;
use dsb_core::prune::{Index, Obstacle, Plan, PrunedInput};

use crate::meter::peak_bytes;

/// What may be held at once: a small multiple of the file, and what the reading itself needs.
const HELD_PER_BYTE: usize = 64;
const HELD_ANYWAY: usize = 64 << 10;

/// Files without a name; every input is written over the last one.
static FILES: LazyLock<[File; 2]> = LazyLock::new(|| ["original", "pruned"].map(nameless));

fn nameless(what: &str) -> File {
    let path = std::env::temp_dir().join(format!("dsb-fuzz-{}-{what}", std::process::id()));
    let opened = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = opened.expect("a file in the temporary folder");
    std::fs::remove_file(path).expect("ours");
    file
}

fn write(file: &File, bytes: &[u8]) {
    file.set_len(0).and_then(|()| file.write_all_at(bytes, 0)).expect("room for a small file");
}

/// Reads `bytes` as a file, prunes it if that can be done, and reads the pruned file again.
///
/// # Panics
/// If a promise of the module is broken.
pub fn check(bytes: &[u8]) {
    let [original, pruned] = &*FILES;
    write(original, bytes);
    let (index, held) = peak_bytes(|| Index::read(original));
    let most = HELD_PER_BYTE * bytes.len() + HELD_ANYWAY;
    assert!(held <= most, "{held} bytes held for a file of {}", bytes.len());
    let Ok(index) = index else { return };
    for (num, den, start_us, from_ns) in [(1, 2, 0, 0), (2, 1, 0, 0), (5, 1, 7_480_000, 1)] {
        let rate = Rational::new(num, den).unwrap_or_else(|_| unreachable!());
        let Ok(plan) = index.plan(rate, start_us, from_ns) else { continue };
        assert_eq!(plan.keep().len(), plan.packets);
        assert_eq!(plan.keep().iter().filter(|keep| **keep).count(), plan.kept);
        let copy = original.try_clone().expect("a descriptor");
        let Ok(input) = PrunedInput::new(copy, &index, &plan) else { continue };
        write(pruned, &what_the_decoder_reads(&input.url()));
        check_again(pruned, &plan);
    }
}

/// The pruned file holds the packets that were kept and no other.
fn check_again(file: &File, plan: &Plan) {
    let index = match Index::read(file) {
        Ok(index) => index,
        // What is left may start, or be ordered, in a way that is not pruned again.
        Err(Obstacle::Start | Obstacle::Reorder | Obstacle::Hidden | Obstacle::EditList) => return,
        Err(obstacle) => panic!("the pruned file cannot be read: {obstacle:?}"),
    };
    // So few ticks that only what must stay is kept.
    let rate = Rational::new(1, u64::from(u32::MAX)).unwrap_or_else(|_| unreachable!());
    if let Ok(again) = index.plan(rate, 0, 0) {
        assert_eq!((again.packets, again.bytes), (plan.kept, plan.kept_bytes));
    }
}

/// Follows `concat:subfile,,start,S,end,E,,:/dev/fd/N|...`.
fn what_the_decoder_reads(url: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in url.strip_prefix("concat:").expect("pieces").split('|') {
        let (range, path) = piece.split_once(",,:").expect("a range of a file");
        let numbers: Vec<u64> = range.split(',').filter_map(|part| part.parse().ok()).collect();
        let [start, end] = numbers[..] else { panic!("{range}") };
        let file = File::open(path).expect("an open descriptor");
        let mut part = vec![0; (end - start) as usize];
        file.read_exact_at(&mut part, start).expect("bytes that are there");
        bytes.extend(part);
    }
    bytes
}
