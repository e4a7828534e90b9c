//! From the output of children, one after the other, into one ring.

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::Options;
use super::decoder::{Decoder, Pipes};
use super::diagnosis::Outcome;
use super::live::Timeline;
use crate::error::{Error, Result};
use crate::nut::{Header, Reader};
use crate::ring::{End, Ring, Writer};
use crate::time::Ns;

/// One child process.
pub(super) struct Child<'a> {
    pub(super) argv: &'a [String],
    /// What it inherits.
    pub(super) descriptors: Option<[RawFd; 2]>,
    /// Whether the first error that it reports is its end.
    pub(super) strict: bool,
}

impl<'a> Child<'a> {
    /// The decoder that reads the whole source.
    pub(super) fn whole(options: &'a Options) -> Self {
        Self { argv: &options.argv, descriptors: None, strict: options.strict }
    }
}

/// Where frames go: to a ring that is made when the first one is announced.
pub(super) struct Output<'a> {
    options: &'a Options,
    /// Of a live source.
    timeline: Option<&'a Timeline>,
    opened: &'a SyncSender<Result<(Header, Ring)>>,
    published: Option<(Header, Writer)>,
    /// Frames that were published.
    pub(super) frames: u64,
    /// Time of the last frame that was delivered or dropped.
    last: Option<Ns>,
    /// Time of the last frame that the present child wrote before any complaint that ended it. It may be one that
    /// an earlier child had delivered: that one need not have seen the damage.
    good: Option<Ns>,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        options: &'a Options,
        timeline: Option<&'a Timeline>,
        opened: &'a SyncSender<Result<(Header, Ring)>>,
    ) -> Self {
        Self { options, timeline, opened, published: None, frames: 0, last: None, good: None }
    }

    /// Runs a child to its end. Frames of a file that an earlier one has delivered are skipped.
    pub(super) fn play(&mut self, decoder: &Arc<Decoder>, child: &Child<'_>) -> End {
        let spawned = decoder.spawn(child.argv, child.descriptors, self.options.stdin);
        let Pipes { stdout, stderr, drain } = match spawned {
            Ok(pipes) => pipes,
            Err(Error::Closed) => return End::Cancelled,
            Err(error) => return End::Failed(error),
        };
        // What a live source delivered over earlier connections says nothing about this one.
        let earlier = if self.timeline.is_some() { self.frames } else { 0 };
        self.good = self.last.filter(|_| self.timeline.is_some());
        let result = self.read(decoder, child.strict, stdout, &stderr);
        let at_end = match &result {
            Ok(stop) => *stop == Stop::EndOfOutput,
            Err(error) => matches!(error, Error::Protocol { truncated: true, .. }),
        };
        let exit = decoder.finish(at_end, drain);
        if decoder.cancelled() {
            return End::Cancelled;
        }
        let (result, frames) = (result.map(|_| ()), self.frames - earlier);
        let (after, strict) = (self.good, child.strict);
        Outcome { result, exit, frames, after, strict, log: &decoder.log }.end(&self.options.name)
    }

    /// Says why no further frame will come.
    pub(super) fn finish(self, end: End) {
        match (self.published, end) {
            (Some((_, writer)), end) => writer.finish(end),
            // The receiver may have given up.
            (None, End::Failed(error)) => drop(self.opened.send(Err(error))),
            (None, _) => drop(self.opened.send(Err(Error::Closed))),
        }
    }

    /// Reads until the end of the stream, the first error, or the first error that a strict decoder reports.
    fn read(
        &mut self,
        decoder: &Decoder,
        strict: bool,
        stdout: ChildStdout,
        stderr: &OwnedFd,
    ) -> Result<Stop> {
        let mut reader = Reader::open(stdout)?;
        let header = reader.header();
        // A source without any frame is refused when it is opened.
        let mut next = reader.next_frame()?;
        if next.is_none() {
            return Ok(Stop::EndOfOutput);
        }
        let delivered = self.last.filter(|_| self.timeline.is_none());
        let writer = announce(&mut self.published, self.options, self.opened, header)?;
        // What is wrong with a frame was said before it was written.
        let reported = || strict && decoder.log.settled_errors(stderr.as_fd()) > 0;
        while let Some(pts) = next {
            if delivered.is_some_and(|last| pts <= last) {
                reader.skip_payload()?;
                if reported() {
                    return Ok(Stop::Reported);
                }
                self.good = Some(pts);
                next = reader.next_frame()?;
                continue;
            }
            let pts = self.timeline.map_or(pts, |timeline| timeline.stamp(pts));
            match writer.reserve(1, pts) {
                Ok(mut slot) => {
                    reader.read_payload(slot.record_mut(0))?;
                    if reported() {
                        return Ok(Stop::Reported);
                    }
                    slot.publish()?;
                    self.frames += 1;
                    if let Some(timeline) = self.timeline {
                        timeline.published(pts);
                    }
                }
                Err(Error::Full { .. }) => {
                    writer.drop_incoming();
                    reader.skip_payload()?;
                }
                Err(error) => return Err(error),
            }
            (self.last, self.good) = (Some(pts), Some(pts));
            next = reader.next_frame()?;
        }
        Ok(Stop::EndOfOutput)
    }
}

/// A ring for frames such as `header` says, and its writer.
fn announce<'a>(
    published: &'a mut Option<(Header, Writer)>,
    options: &Options,
    opened: &SyncSender<Result<(Header, Ring)>>,
    header: Header,
) -> Result<&'a mut Writer> {
    match published {
        Some((first, _)) if *first != header => {
            Err(Error::invalid("two decoders of one file disagree about its frames"))
        }
        Some((_, writer)) => Ok(writer),
        none => {
            let bytes = header.frame_bytes();
            let (writer, ring) = Ring::new(bytes, options.capacity, options.overflow)?;
            opened.send(Ok((header, ring))).map_err(|_| Error::Closed)?;
            Ok(&mut none.insert((header, writer)).1)
        }
    }
}

/// Why reading stopped without an error of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    EndOfOutput,
    /// A strict decoder reported an error.
    Reported,
}
