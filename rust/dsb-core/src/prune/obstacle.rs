//! What stands in the way of leaving packets out: by name, to be counted, and in words.

use std::fmt;

/// Why a file is decoded in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// Another container.
    Container,
    /// A codec whose packets do not tell what refers to them.
    Codec([u8; 4]),
    /// No track of moving pictures.
    NoVideo,
    /// Several tracks of moving pictures.
    SeveralTracks,
    /// Samples in fragments.
    Fragmented,
    /// An edit list that does more than to start at the first picture.
    EditList,
    /// Encrypted samples.
    Encrypted,
    /// More than one sample description, or sequence parameter sets that differ.
    SeveralDescriptions,
    /// Samples in another file.
    External,
    /// Pictures that may be fields.
    Interlaced,
    /// Scalable, multi-view or sub-sequence layers.
    Layers,
    /// The stream does not say how far pictures are out of order, or says it wrongly.
    Reorder,
    /// The first picture is none at which decoding can start.
    Start,
    /// The first picture comes after the time from which frames are wanted, or the last one before it.
    Late,
    /// Pictures that decoders do not show.
    Hidden,
    /// Times that repeat, contradict the order of the pictures or are left to interpretation.
    Times,
    /// More samples, or longer gaps, than tables can hold.
    TooLong,
    /// Bytes that belong to no box.
    Trailing,
    /// Tables that contradict each other, with what is wrong.
    Tables(&'static str),
    /// The file could not be read.
    Unreadable,
    /// The file is not the one that was looked at.
    Changed,
    /// Every packet is needed.
    Nothing,
}

impl Obstacle {
    /// A stable name to count by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Codec(_) => "codec",
            Self::NoVideo => "no-video",
            Self::SeveralTracks => "several-tracks",
            Self::Fragmented => "fragmented",
            Self::EditList => "edit-list",
            Self::Encrypted => "encrypted",
            Self::SeveralDescriptions => "several-descriptions",
            Self::External => "external",
            Self::Interlaced => "interlaced",
            Self::Layers => "layers",
            Self::Reorder => "reorder",
            Self::Start => "start",
            Self::Late => "late",
            Self::Hidden => "hidden",
            Self::Times => "times",
            Self::TooLong => "too-long",
            Self::Trailing => "trailing",
            Self::Tables(_) => "tables",
            Self::Unreadable => "unreadable",
            Self::Changed => "changed",
            Self::Nothing => "nothing",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "not an MP4 or MOV file",
            Self::Codec(kind) => {
                let name = String::from_utf8_lossy(kind);
                return write!(f, "codec {:?} is neither H.264 nor HEVC", name.trim());
            }
            Self::NoVideo => "no video track",
            Self::SeveralTracks => "several video tracks",
            Self::Fragmented => "a fragmented file",
            Self::EditList => "an edit list that shifts or cuts",
            Self::Encrypted => "encrypted",
            Self::SeveralDescriptions => "several sample descriptions or sequence parameter sets",
            Self::External => "pictures in another file",
            Self::Interlaced => "interlaced",
            Self::Layers => "a scalable or multi-view stream",
            Self::Reorder => "the stream does not state how far pictures are out of order",
            Self::Start => "does not begin with a picture at which decoding can start",
            Self::Late => "begins later, or ends earlier, than frames are wanted",
            Self::Hidden => "holds pictures that are not shown",
            Self::Times => "times that repeat, shift or contradict the order of the pictures",
            Self::TooLong => "more samples than its tables could hold",
            Self::Trailing => "cut off, or followed by bytes that belong to no box",
            Self::Tables(what) => return write!(f, "broken tables: {what}"),
            Self::Unreadable => "cannot be read",
            Self::Changed => "has changed meanwhile",
            Self::Nothing => "every packet is needed",
        })
    }
}
