//! A decoder child process that fills a ring of frames.
//!
//! One thread spawns the child, reads its standard output straight into ring slots and reaps it; one more drains
//! its standard error. The child lives in its own process group and dies with the thread, hence with us.

mod decoder;
mod diagnosis;
mod log;

use std::fmt;
use std::process::{self, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use decoder::Decoder;
use diagnosis::Outcome;

use crate::error::{Error, Result};
use crate::nut::{Header, Reader};
use crate::ring::{End, Overflow, Ring, Writer};
use crate::time::Rational;

/// How to run a decoder.
#[derive(Clone, Debug)]
pub struct Options {
    /// Program and arguments. They must make it write one rawvideo rgb24 stream in NUT to its standard output;
    /// with `-loglevel level+warning` its errors can be told from its warnings.
    pub argv: Vec<String>,
    /// What error messages call the source: its path or address.
    pub name: String,
    /// Frames in the ring.
    pub capacity: usize,
    /// What happens when the ring is full.
    pub overflow: Overflow,
    /// Whether the first error that the decoder reports ends the source; otherwise errors are counted.
    pub strict: bool,
}

/// A running decoder and its ring.
///
/// Dropping it kills and reaps the child; leases stay valid.
pub struct FrameSource {
    header: Header,
    ring: Ring,
    decoder: Arc<Decoder>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The process that started the decoder.
    owner: u32,
}

impl FrameSource {
    /// Starts the decoder and waits for the first frame's header.
    ///
    /// [`Error::DecoderNotFound`] and [`Error::Spawn`] if it does not start, [`Error::Source`] if the source
    /// gives no frame, [`Error::Decode`] if the decoder fails, [`Error::Protocol`] if its output is not NUT.
    pub fn open(options: Options) -> Result<Self> {
        let mut opening = Opening::start(options)?;
        loop {
            if let Some(source) = opening.wait(Duration::from_secs(3600))? {
                return Ok(source);
            }
        }
    }

    /// The frames, `(height, width, 3)` bytes each.
    pub fn frames(&self) -> &Ring {
        &self.ring
    }

    /// `(width, height)` in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.header.width, self.header.height)
    }

    /// Seconds per tick of the decoder's time stamps.
    pub fn time_base(&self) -> Rational {
        self.header.time_base
    }

    /// Errors that the decoder reported so far.
    pub fn decode_errors(&self) -> u64 {
        self.decoder.log.errors()
    }

    /// The last lines that the decoder wrote to standard error.
    pub fn stderr(&self) -> String {
        self.decoder.log.tail()
    }

    /// Process id of the decoder, which has perhaps ended already.
    pub fn pid(&self) -> u32 {
        self.decoder.pid()
    }

    /// Wall time from the start of the decoder until its end, or until now.
    pub fn decode_wall(&self) -> Duration {
        self.decoder.wall()
    }

    /// User + system CPU time of the decoder, zero until it has ended.
    pub fn decode_cpu(&self) -> Duration {
        self.decoder.cpu()
    }

    /// Kills and reaps the decoder and wakes everybody who waits for a frame. Harmless if it has ended.
    ///
    /// A forked process has a copy of this object, but neither the decoder nor the threads: there it does nothing.
    pub fn close(&self) {
        if process::id() != self.owner {
            return;
        }
        self.decoder.cancel();
        self.ring.close(End::Cancelled);
        join(&self.thread);
    }
}

impl Drop for FrameSource {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for FrameSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameSource").field("header", &self.header).finish_non_exhaustive()
    }
}

/// A decoder that has not announced its first frame yet. Dropping it kills and reaps the child.
pub struct Opening {
    opened: Receiver<Result<(Header, Ring)>>,
    decoder: Arc<Decoder>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Opening {
    /// Starts the decoder.
    pub fn start(options: Options) -> Result<Self> {
        if options.argv.is_empty() {
            return Err(Error::invalid("argv must name the decoder"));
        }
        let decoder = Arc::new(Decoder::default());
        let (send, opened) = sync_channel(1);
        let (name, shared) = ("dsb-decode".to_owned(), Arc::clone(&decoder));
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || run(&options, &shared, &send))
            .map_err(|error| Error::os("pthread_create", &error))?;
        Ok(Self { opened, decoder, thread: Mutex::new(Some(thread)) })
    }

    /// Waits for at most `timeout`; `None` if the first frame has not been announced by then. Fails like
    /// [`FrameSource::open`].
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<FrameSource>> {
        match self.opened.recv_timeout(timeout) {
            Ok(opened) => {
                let (header, ring) = opened?;
                let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
                let decoder = Arc::clone(&self.decoder);
                let (thread, owner) = (Mutex::new(thread), process::id());
                Ok(Some(FrameSource { header, ring, decoder, thread, owner }))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Closed),
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_some() {
            self.decoder.cancel();
            // A ring that was announced and that nobody took has no reader to make room in it.
            if let Ok(Ok((_, ring))) = self.opened.recv() {
                ring.close(End::Cancelled);
            }
            thread.take().map(JoinHandle::join);
        }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
    // A panic of the thread has cancelled the ring; there is nothing to add here.
    thread.map(JoinHandle::join);
}

/// The decode thread: from the start of the child to its end.
fn run(options: &Options, decoder: &Arc<Decoder>, opened: &SyncSender<Result<(Header, Ring)>>) {
    let (stdout, drain) = match decoder.spawn(&options.argv) {
        Ok(pipes) => pipes,
        Err(error) => return drop(opened.send(Err(error))),
    };
    let mut frames = 0;
    let mut writer = None;
    let result = decode(options, decoder, opened, stdout, &mut writer, &mut frames);
    let at_end = match &result {
        Ok(stop) => *stop == Stop::EndOfOutput,
        Err(error) => matches!(error, Error::Protocol { truncated: true, .. }),
    };
    let exit = decoder.finish(at_end, drain);
    let result = result.map(|_| ());
    let outcome = Outcome { result, exit, frames, strict: options.strict, log: &decoder.log };
    let end = if decoder.cancelled() { End::Cancelled } else { outcome.end(&options.name) };
    match (writer, end) {
        (Some(writer), end) => writer.finish(end),
        // The receiver may have given up.
        (None, End::Failed(error)) => drop(opened.send(Err(error))),
        (None, _) => drop(opened.send(Err(Error::Closed))),
    }
}

/// Reads until the end of the stream, the first error, or the first error that a strict decoder reports.
fn decode(
    options: &Options,
    decoder: &Decoder,
    opened: &SyncSender<Result<(Header, Ring)>>,
    stdout: ChildStdout,
    publisher: &mut Option<Writer>,
    frames: &mut u64,
) -> Result<Stop> {
    let mut reader = Reader::open(stdout)?;
    let header = reader.header();
    // A source without any frame is refused when it is opened.
    let mut next = reader.next_frame()?;
    if next.is_none() {
        return Ok(Stop::EndOfOutput);
    }
    let (writer, ring) = Ring::new(header.frame_bytes(), options.capacity, options.overflow)?;
    let writer = publisher.insert(writer);
    if opened.send(Ok((header, ring))).is_err() {
        return Err(Error::Closed);
    }
    while let Some(pts) = next {
        match writer.reserve(1, pts) {
            Ok(mut slot) => {
                reader.read_payload(slot.record_mut(0))?;
                if options.strict && decoder.log.errors() > 0 {
                    return Ok(Stop::Reported);
                }
                slot.publish()?;
                *frames += 1;
            }
            Err(Error::Full { .. }) => {
                writer.drop_incoming();
                reader.skip_payload()?;
            }
            Err(error) => return Err(error),
        }
        next = reader.next_frame()?;
    }
    Ok(Stop::EndOfOutput)
}

/// Why reading stopped without an error of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    EndOfOutput,
    /// A strict decoder reported an error.
    Reported,
}
