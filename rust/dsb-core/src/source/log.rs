//! What the decoder writes to standard error: a bounded tail and the number of errors.

use std::collections::VecDeque;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::os;

const TAIL_LINES: usize = 64;
const LINE_BYTES: usize = 1024;

/// Filled by the thread that drains the pipe, read by anybody.
#[derive(Debug, Default)]
pub(super) struct Log {
    errors: AtomicU64,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    tail: VecDeque<String>,
    first_error: Option<String>,
    last_is_error: bool,
}

impl Log {
    /// Lines of level error or worse so far; needs `-loglevel level+...`.
    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Acquire)
    }

    /// Forgets the lines of an earlier decoder, but not how many errors there were.
    pub(super) fn forget_lines(&self) {
        *self.lines() = Lines::default();
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut lines = self.lines();
        *lines = Lines::default();
        self.errors.store(0, Ordering::Release);
    }

    /// The last lines.
    pub(super) fn tail(&self) -> String {
        let lines = self.lines();
        lines.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The first line of level error or worse.
    pub(super) fn first_error(&self) -> Option<String> {
        self.lines().first_error.clone()
    }

    /// The last line.
    pub(super) fn last_line(&self) -> Option<String> {
        self.lines().tail.back().cloned()
    }

    /// Whether one of the last lines, or the first error, holds `text` and is about the source as a whole.
    pub(super) fn mentions(&self, text: &str) -> bool {
        // About a packet, or about a thread that ended because of one.
        let elsewhere = ["while decoding", "to decoder", "in decoder", "error code", "return code"];
        let fits = |line: &String| {
            line.contains(text) && !elsewhere.iter().any(|words| line.contains(words))
        };
        let lines = self.lines();
        lines.tail.iter().chain(&lines.first_error).any(fits)
    }

    /// Reads to the end, in memory that does not depend on the input.
    ///
    /// Bytes are taken out of the pipe with the lock held: whoever holds the lock and finds the pipe empty knows all
    /// that was written.
    pub(super) fn drain(&self, mut pipe: impl Read + AsFd) {
        let (mut chunk, mut line) = ([0; 4096], Vec::with_capacity(LINE_BYTES));
        loop {
            os::wait_readable(pipe.as_fd());
            let mut lines = self.lines();
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => chunk[..count].iter().for_each(|byte| match byte {
                    b'\n' | b'\r' => self.take_line(&mut lines, &mut line),
                    _ if line.len() < LINE_BYTES => line.push(*byte),
                    _ => {}
                }),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // The exit status tells the rest.
                Err(_) => break,
            }
        }
        self.take_line(&mut self.lines(), &mut line);
    }

    /// The number of errors, once all that has been written to `pipe` is counted; another thread drains it.
    pub(super) fn settled_errors(&self, pipe: BorrowedFd<'_>) -> u64 {
        loop {
            let lines = self.lines();
            if os::readable_bytes(pipe) == 0 {
                return self.errors();
            }
            drop(lines);
            thread::yield_now();
        }
    }

    fn take_line(&self, lines: &mut Lines, line: &mut Vec<u8>) {
        if !line.trim_ascii().is_empty() {
            self.push(lines, without_passwords(String::from_utf8_lossy(line).trim_end()));
        }
        line.clear();
    }

    fn push(&self, lines: &mut Lines, line: String) {
        let repeats = repeats(&line);
        if repeats.is_none() {
            lines.last_is_error = is_error(&line);
        }
        if lines.last_is_error {
            lines.first_error.get_or_insert_with(|| line.clone());
            self.errors.fetch_add(repeats.unwrap_or(1), Ordering::Release);
        }
        if lines.tail.len() == TAIL_LINES {
            lines.tail.pop_front();
        }
        lines.tail.push_back(line);
    }

    /// Each change is complete before the next fallible step, so a poisoned lock is still good.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line with `***` for the password of every address: `rtsp://user:secret@camera/1`.
fn without_passwords(line: &str) -> String {
    let mut parts = line.split("://");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("://");
        let host = part.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(part.len());
        let secret =
            part[..host].rfind('@').and_then(|end| Some((part[..end].find(':')? + 1, end)));
        match secret {
            Some((start, end)) => {
                masked.extend([&part[..start], "***", &part[end..]]);
            }
            None => masked.push_str(part),
        }
    }
    masked
}

/// Damage that a decoder which goes on calls no more than a warning.
const DAMAGE: [&str; 2] = ["corrupt decoded frame", "corrupt input packet"];

/// Whether a line such as `[h264 @ 0x55] [error] no frame!` has level error or worse, or tells of damage.
fn is_error(line: &str) -> bool {
    let mut rest = line.trim_start();
    while let Some((tag, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        match tag {
            "error" | "fatal" | "panic" => return true,
            "warning" => return DAMAGE.iter().any(|damage| after.contains(damage)),
            _ => rest = after.trim_start(),
        }
    }
    false
}

/// The decoder folds equal lines into `Last message repeated 3 times`.
fn repeats(line: &str) -> Option<u64> {
    let count = line.trim().strip_prefix("Last message repeated ")?.strip_suffix(" times")?;
    count.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn log_of(text: &[u8]) -> Log {
        let log = Log::default();
        let (reader, mut writer) = std::io::pipe().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| log.drain(reader));
            writer.write_all(text).unwrap();
            drop(writer);
        });
        log
    }

    #[test]
    fn what_was_written_before_is_counted() {
        let (log, (reader, mut writer)) = (Log::default(), std::io::pipe().unwrap());
        let other_end = reader.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| log.drain(reader));
            for count in 1..=200 {
                writer.write_all(b"[error] no frame!\n").unwrap();
                assert_eq!(log.settled_errors(other_end.as_fd()), count);
            }
            drop(writer);
        });
    }

    #[test]
    fn errors_are_counted_by_level_tag_and_repetition() {
        let log = log_of(
            b"[mov @ 0x1] [warning] [error-like] text\n[h264 @ 0x2] [error] no frame!\n\
              \x20   Last message repeated 3 times\n[fatal] Stream map '' matches no streams.\r\n\
              plain error: text\n",
        );
        assert_eq!(log.errors(), 5);
        assert_eq!(log.first_error().as_deref(), Some("[h264 @ 0x2] [error] no frame!"));
    }

    #[test]
    fn a_warning_of_damage_is_an_error() {
        let log = log_of(
            b"[dec:h264 @ 0x1] [warning] corrupt decoded frame\n[mov @ 0x2] [warning] CTTS invalid\n\
              [warning] file:a.ts: corrupt input packet in stream 0\n",
        );
        assert_eq!(log.errors(), 2);
    }

    #[test]
    fn memory_stays_bounded_whatever_the_decoder_writes() {
        let mut text = vec![b'x'; 1 << 20];
        (0..1000).for_each(|i| text.extend(format!("\n[error] line {i}").bytes()));
        let log = log_of(&text);
        assert_eq!(log.errors(), 1000);
        assert_eq!(log.tail().lines().count(), TAIL_LINES);
        assert_eq!(log.last_line().as_deref(), Some("[error] line 999"));
    }

    #[test]
    fn passwords_are_not_kept() {
        let log = log_of(b"[error] rtsp://me:secret@camera:554/1: refused, see http://x/a@b:c");
        let line = "[error] rtsp://me:***@camera:554/1: refused, see http://x/a@b:c";
        assert_eq!(log.last_line().as_deref(), Some(line));
    }

    #[test]
    fn bytes_that_are_not_text_do_not_matter() {
        assert_eq!(log_of(b"\xff\xfe[error]\n[error] \xff").errors(), 1);
    }
}
