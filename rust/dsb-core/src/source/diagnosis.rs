//! From what a decoder did to one typed error with a remedy.
//!
//! Exit codes differ between versions of ffmpeg (5.1 knows little more than 1, newer ones give the low byte of the
//! negated error number), so messages come first and codes second. A damaged file can end with exit code 0.

use super::log::Log;
use crate::error::{Error, Result};
use crate::os::Exit;
use crate::ring::End;
use crate::time::Ns;

/// A class of sources that cannot be opened.
struct Class {
    /// What the decoder says.
    texts: &'static [&'static str],
    /// The exit code of newer versions.
    code: Option<i32>,
    what: &'static str,
    remedy: &'static str,
}

/// The first that fits counts.
const CLASSES: &[Class] = &[
    Class {
        texts: &["Unrecognized option", "No such filter", "Option not found", "Unknown encoder"],
        code: None,
        what: "the decoder does not understand its arguments",
        remedy: "use ffmpeg 5.1 or newer with the rawvideo encoder and the nut muxer",
    },
    Class {
        texts: &["matches no streams", "does not contain any stream"],
        code: None,
        what: "has no video stream",
        remedy: "name a file with a video track",
    },
    Class {
        // A track that is announced and then holds nothing.
        texts: &["Cannot determine format of input"],
        code: None,
        what: NO_FRAME,
        remedy: "copy or record it again to the end",
    },
    Class {
        texts: &["No such file or directory"],
        code: Some(254),
        what: "no such file",
        remedy: "check the path and dataset.data_dir",
    },
    Class {
        texts: &["Is a directory"],
        code: Some(235),
        what: "is a directory",
        remedy: "name a video file",
    },
    Class {
        texts: &["Permission denied"],
        code: Some(243),
        what: "may not be read",
        remedy: "give yourself read permission",
    },
    Class {
        texts: &["moov atom not found"],
        code: None,
        what: "has no index (moov atom): it was cut off, or is no mp4 at all",
        remedy: "copy or record it again to the end",
    },
    Class {
        texts: &["Connection refused", "Server returned", "Failed to resolve", "timed out"],
        code: None,
        what: "cannot be reached",
        remedy: "check the address and the network",
    },
    Class {
        texts: &["Protocol not found", "Invalid data found when processing input"],
        // Newer versions exit with 183 after a damaged picture, too.
        code: None,
        what: "is not a video that the decoder knows",
        remedy: "name a video file, or convert it to H.264 mp4",
    },
];

const NO_FRAME: &str = "has no frame";
const NO_FRAME_REMEDY: &str = "check that it is not empty and that the seek time lies within it";

/// Everything that is known after the end of a decoder.
pub(super) struct Outcome<'a> {
    /// What the reader of its output met.
    pub(super) result: Result<()>,
    /// How it ended by itself; `None` if we stopped it.
    pub(super) exit: Option<Exit>,
    /// Frames that were published.
    pub(super) frames: u64,
    /// Time stamp of the last good frame that was read.
    pub(super) after: Option<Ns>,
    pub(super) strict: bool,
    pub(super) log: &'a Log,
}

impl Outcome<'_> {
    /// Why no further frame will come from the source `name`.
    pub(super) fn end(self, name: &str) -> End {
        match self.failure(name) {
            Some(Error::Closed) => End::Cancelled,
            Some(error) => End::Failed(error),
            None => End::Eof,
        }
    }

    fn failure(self, name: &str) -> Option<Error> {
        let status = self.exit.map(|exit| exit.status);
        if let Some(signal @ ..0) = status {
            let what = format!("the decoder was killed by signal {}", -signal);
            let remedy = "check the memory limit and that nothing else ended it, then run again";
            return Some(self.decode_error(name, format!("{what}; {remedy}")));
        }
        if self.frames == 0 && status.is_some() {
            if let Some(error) = self.unusable_source(name) {
                return Some(error);
            }
        }
        if self.strict && self.log.errors() > 0 {
            let line = self.log.first_error().unwrap_or_default();
            let what = format!("the decoder reported damage: {line}");
            let remedy = "repair or convert the file, or accept damaged pictures with strict=False \
                (video.strict=false in a configuration)";
            return Some(self.decode_error(name, format!("{what}; {remedy}")));
        }
        if let Some(code @ 1..) = status {
            let line = self.log.last_line().unwrap_or_else(|| "it said nothing".to_owned());
            let what = format!("the decoder exited with status {code}: {line}");
            return Some(
                self.decode_error(name, format!("{what}; check the file and the arguments")),
            );
        }
        match self.result {
            // The reader does not know whose output it reads.
            Err(Error::Protocol { offset, what, truncated, .. }) => Some(Error::Protocol {
                offset,
                what: format!("{name}: {what}"),
                truncated,
                frames: self.frames,
                after: self.after,
                stderr: self.log.tail(),
            }),
            Err(error) => Some(error),
            Ok(()) if self.frames == 0 => Some(source_error(name, NO_FRAME, NO_FRAME_REMEDY)),
            Ok(()) => None,
        }
    }

    /// The class of a source that gave no frame.
    fn unusable_source(&self, name: &str) -> Option<Error> {
        let says = |class: &&Class| class.texts.iter().any(|text| self.log.mentions(text));
        let code = self.exit.map(|exit| exit.status);
        let class = CLASSES
            .iter()
            .find(says)
            .or_else(|| CLASSES.iter().find(|class| class.code.is_some() && class.code == code))?;
        Some(source_error(name, class.what, class.remedy))
    }

    fn decode_error(&self, name: &str, what: String) -> Error {
        Error::Decode {
            name: name.to_owned(),
            what,
            status: self.exit.map(|exit| exit.status),
            frames: self.frames,
            after: self.after,
            stderr: self.log.tail(),
        }
    }
}

fn source_error(name: &str, what: &str, remedy: &str) -> Error {
    Error::Source { name: name.to_owned(), what: what.to_owned(), remedy: remedy.to_owned() }
}
