//! A decoder child process that fills a ring of frames.
//!
//! One thread spawns the child, reads its standard output straight into ring slots and reaps it; one more drains
//! its standard error. The child lives in its own process group and dies with the thread, hence with us. The
//! thread of a live source ([`live`]) starts its decoder again when the connection is lost; the ring stays.

mod decoder;
mod diagnosis;
pub mod live;
mod log;
mod output;
mod reconnect;

use std::fmt;
use std::process;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use decoder::Decoder;
use live::{Live, Timeline};
use output::{Child, Output};

use crate::error::{Error, Result};
use crate::nut::Header;
use crate::prune::PrunedInput;
use crate::ring::{End, Overflow, Ring};
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
    /// A cheaper way to the same frames, which is tried first.
    pub pruned: Option<Pruned>,
    /// Whether the decoder reads our standard input; otherwise it has none.
    pub stdin: bool,
    /// For a source whose stream time runs with the wall clock.
    pub live: Option<Live>,
}

impl Options {
    /// A strict decoder of a file into a ring of 64 frames that waits for its reader.
    pub fn new(argv: Vec<String>, name: String) -> Self {
        Self {
            argv,
            name,
            capacity: 64,
            overflow: Overflow::Block,
            strict: true,
            pruned: None,
            stdin: false,
            live: None,
        }
    }
}

/// A decoder that reads only the packets that are needed.
///
/// At its first complaint the decoder of [`Options::argv`] takes over, from the frame after the last one that was
/// published: what a damaged file delivers, and what is said about it, does not depend on pruning.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// Program and arguments, as [`Options::argv`]; its input is [`PrunedInput::url`].
    pub argv: Vec<String>,
    /// The files that the decoder inherits.
    pub input: Arc<PrunedInput>,
}

/// A running decoder and its ring.
///
/// Dropping it kills and reaps the child; leases stay valid.
pub struct FrameSource {
    header: Header,
    ring: Ring,
    decoder: Arc<Decoder>,
    timeline: Option<Arc<Timeline>>,
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

    /// The clock and the logbook of a live source.
    pub fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_deref()
    }

    /// Errors that the decoder reported so far.
    pub fn decode_errors(&self) -> u64 {
        self.decoder.log.errors()
    }

    /// The last lines that the decoder wrote to standard error.
    pub fn stderr(&self) -> String {
        self.decoder.log.tail()
    }

    /// Whether the frames come from the decoder that reads only what is needed.
    pub fn is_pruned(&self) -> bool {
        self.decoder.is_pruned()
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
    timeline: Option<Arc<Timeline>>,
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
        let timeline = options.live.map(|_| Arc::new(Timeline::default()));
        let clock = timeline.clone();
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || run(&options, &shared, clock.as_deref(), &send))
            .map_err(|error| Error::os("pthread_create", &error))?;
        Ok(Self { opened, decoder, timeline, thread: Mutex::new(Some(thread)) })
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
                let timeline = self.timeline.clone();
                Ok(Some(FrameSource { header, ring, decoder, timeline, thread, owner }))
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

/// The decode thread: from the start of the first child to the end of the last.
fn run(
    options: &Options,
    decoder: &Arc<Decoder>,
    timeline: Option<&Timeline>,
    opened: &SyncSender<Result<(Header, Ring)>>,
) {
    let mut output = Output::new(options, timeline, opened);
    let pruned = options.pruned.as_ref().map(|pruned| {
        decoder.set_pruned(true);
        let descriptors = Some(pruned.input.descriptors());
        output.play(decoder, &Child { argv: &pruned.argv, descriptors, strict: true })
    });
    let end = pruned.filter(|end| !casts_doubt(end)).unwrap_or_else(|| {
        decoder.set_pruned(false);
        decoder.log.clear();
        output.play(decoder, &Child::whole(options))
    });
    let end = reconnect::keep_connected(&mut output, decoder, options, timeline, end);
    output.finish(end);
}

/// Whether pruning may be the reason for this end. A decoder that was killed would have been killed anyway.
fn casts_doubt(end: &End) -> bool {
    let killed = |status: &Option<i32>| matches!(status, Some(..0));
    match end {
        End::Failed(Error::Decode { status, .. }) => !killed(status),
        End::Failed(_) => true,
        End::Eof | End::Cancelled => false,
    }
}
