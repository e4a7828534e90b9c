//! The child process: start, kill, reap, times.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::log::Log;
use crate::error::{Error, Result};
use crate::os::{self, Exit};

/// The largest pipe that Linux gives to everybody.
const PIPE_BYTES: i32 = 1 << 20;

/// A child process that is shared by the thread that reads it and those that may want it dead.
///
/// **Invariant**: the child is signalled only while `phase` is `Running`, and reaped in the same locked step that
/// leaves it, so a signal cannot hit another process that got the same id.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    pub(super) log: Log,
    phase: Mutex<(Phase, Cancelled)>,
    pruned: AtomicBool,
    stop: Condvar,
}

type Cancelled = bool;

/// What a child writes.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdout: ChildStdout,
    /// To ask how much is in it; the thread reads it.
    pub(super) stderr: OwnedFd,
    pub(super) drain: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    #[default]
    Waiting,
    Running {
        pid: i32,
        since: Instant,
        /// Wall and CPU time of the children before this one.
        before: (Duration, Duration),
    },
    Ended {
        pid: i32,
        wall: Duration,
        cpu: Duration,
    },
}

impl Phase {
    /// Times of the children that have ended.
    fn spent(self) -> (Duration, Duration) {
        match self {
            Self::Ended { wall, cpu, .. } => (wall, cpu),
            Self::Running { before, .. } => before,
            Self::Waiting => (Duration::ZERO, Duration::ZERO),
        }
    }
}

impl Decoder {
    /// Starts a child, which inherits `descriptors` and perhaps our standard input, and the thread that drains its standard error. Must be called by
    /// the thread that stays until the child has ended (see [`os::confine`]), after the end of any earlier child.
    pub(super) fn spawn(
        self: &Arc<Self>,
        argv: &[String],
        descriptors: Option<[RawFd; 2]>,
        stdin: bool,
    ) -> Result<Pipes> {
        let [exe, arguments @ ..] = argv else {
            return Err(Error::invalid("argv must name the decoder"));
        };
        let mut command = Command::new(exe);
        command.args(arguments).env("AV_LOG_FORCE_NOCOLOR", "1");
        let input = if stdin { Stdio::inherit() } else { Stdio::null() };
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        os::confine(&mut command);
        if let Some(descriptors) = descriptors {
            os::inherit(&mut command, descriptors);
        }

        let mut phase = self.phase();
        if phase.1 {
            return Err(Error::Closed);
        }
        let since = Instant::now();
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::DecoderNotFound { exe: exe.clone() },
            _ => Error::Spawn { exe: exe.clone(), what: error.to_string() },
        })?;
        let pid = i32::try_from(child.id()).map_err(|_| Error::invalid("process id"))?;
        phase.0 = Phase::Running { pid, since, before: phase.0.spent() };
        drop(phase);

        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::Os { call: "pipe", code: 0 });
        };
        os::enlarge_pipe(stdout.as_fd(), PIPE_BYTES);
        let watched = stderr.as_fd().try_clone_to_owned();
        let watched = watched.map_err(|error| Error::os("dup", &error))?;
        let decoder = Arc::clone(self);
        let drain = thread::Builder::new()
            .name("dsb-stderr".to_owned())
            .spawn(move || decoder.log.drain(stderr))
            .map_err(|error| Error::os("pthread_create", &error))?;
        Ok(Pipes { stdout, stderr: watched, drain })
    }

    /// Kills the child, now or, if it has not been started, by not starting it.
    pub(super) fn cancel(&self) {
        let mut phase = self.phase();
        phase.1 = true;
        self.stop.notify_all();
        if let Phase::Running { pid, .. } = phase.0 {
            os::kill_group(pid);
        }
    }

    /// Whether the child reads only what is needed.
    pub(super) fn is_pruned(&self) -> bool {
        self.pruned.load(Ordering::Acquire)
    }

    pub(super) fn set_pruned(&self, pruned: bool) {
        self.pruned.store(pruned, Ordering::Release);
    }

    /// Whether somebody called [`Decoder::cancel`].
    pub(super) fn cancelled(&self) -> bool {
        self.phase().1
    }

    /// Waits for `pause`, or until somebody calls [`Decoder::cancel`]; whether that has happened.
    pub(super) fn cancelled_within(&self, pause: Duration) -> bool {
        let waited =
            self.stop.wait_timeout_while(self.phase(), pause, |(_, cancelled)| !*cancelled);
        waited.unwrap_or_else(PoisonError::into_inner).0.1
    }

    /// Waits for the end of the child and of its standard error. A child that has not closed its output is
    /// stopped; then, and if it cannot be waited for, its exit tells nothing and is `None`.
    pub(super) fn finish(&self, at_end_of_output: bool, drain: JoinHandle<()>) -> Option<Exit> {
        let Phase::Running { pid, since, before } = self.phase().0 else { return None };
        if !at_end_of_output {
            os::kill_group(pid);
        }
        let ended = os::wait_for_exit(pid);
        let mut phase = self.phase();
        // What the child left behind would hold the pipes open. It is not reaped yet, so its id is still taken.
        os::kill_group(pid);
        let exit = ended.and_then(|()| os::reap(pid)).ok();
        let cpu = before.1 + Duration::from_nanos(exit.map_or(0, |exit| exit.cpu_ns));
        phase.0 = Phase::Ended { pid, wall: before.0 + since.elapsed(), cpu };
        drop(phase);
        // The thread has no way to fail; if it did, its log is only shorter.
        drop(drain.join());
        exit.filter(|_| at_end_of_output)
    }

    pub(super) fn pid(&self) -> u32 {
        match self.phase().0 {
            Phase::Waiting => 0,
            Phase::Running { pid, .. } | Phase::Ended { pid, .. } => pid.unsigned_abs(),
        }
    }

    pub(super) fn wall(&self) -> Duration {
        match self.phase().0 {
            Phase::Waiting => Duration::ZERO,
            Phase::Running { since, before, .. } => before.0 + since.elapsed(),
            Phase::Ended { wall, .. } => wall,
        }
    }

    pub(super) fn cpu(&self) -> Duration {
        self.phase().0.spent().1
    }

    /// Each change is a single assignment, so a poisoned lock is still good.
    fn phase(&self) -> MutexGuard<'_, (Phase, Cancelled)> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Decoder {
    /// Only after a panic, or if a thread could not be started, is the child still there.
    fn drop(&mut self) {
        if let Phase::Running { pid, .. } = self.phase().0 {
            os::kill_group(pid);
            drop(os::reap(pid));
        }
    }
}
