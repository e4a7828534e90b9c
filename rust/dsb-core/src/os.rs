//! The system calls that `std` lacks, each behind a safe function.
#![allow(unsafe_code, reason = "system calls; every block argues its safety")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::error::{Error, Result};

/// Bytes in a memory page.
#[cfg(all(target_os = "linux", not(any(miri, feature = "heap-ring"))))]
pub(crate) fn page_bytes() -> usize {
    // SAFETY: sysconf reads a constant of the system and touches no memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).ok().filter(|size| *size > 0).unwrap_or(4096)
}

/// Puts the child into its own process group and ties its life to the spawning *thread*.
///
/// The group keeps a Ctrl-C of the terminal away from the decoder; the death signal ends the decoder if we are
/// killed. The kernel sends that signal when the thread that forked ends, so the thread that spawns must be the
/// one that waits for the child.
pub(crate) fn confine(command: &mut Command) {
    command.process_group(0);
    #[cfg(target_os = "linux")]
    {
        let parent = std::process::id();
        // SAFETY: the closure runs between fork and exec and calls only prctl and getppid, both of which are
        // async-signal-safe, and allocates nothing: `from_raw_os_error` stores an integer.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                // We may have died before prctl took effect.
                if libc::getppid().cast_unsigned() != parent {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                Ok(())
            });
        }
    }
}

/// Lets the child inherit these descriptors, under the same numbers. They must stay open until it is spawned.
pub(crate) fn inherit(command: &mut Command, descriptors: [RawFd; 2]) {
    // SAFETY: the closure runs between fork and exec and calls only fcntl, which is async-signal-safe and here takes
    // no pointer, and allocates nothing. It changes flags of the child's own descriptors.
    unsafe {
        command.pre_exec(move || {
            for fd in descriptors {
                if libc::fcntl(fd, libc::F_SETFD, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// An empty file that has no name and lives in memory where the system has such files.
pub(crate) fn memory_file() -> Result<File> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::FromRawFd;
        // SAFETY: the name is a NUL-terminated literal.
        let fd = unsafe { libc::memfd_create(c"dsb-tables".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last_os("memfd_create"));
        }
        // SAFETY: `fd` is a fresh descriptor that nothing else owns.
        Ok(unsafe { File::from_raw_fd(fd) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("dsb-{}-{number}", std::process::id()));
        let open = File::options().read(true).write(true).create_new(true).open(&path);
        let file = open.map_err(|error| Error::os("open", &error))?;
        std::fs::remove_file(&path).map_err(|error| Error::os("unlink", &error))?;
        Ok(file)
    }
}

/// Asks for a pipe buffer of `bytes`; a smaller buffer is only slower, so failure is ignored.
pub(crate) fn enlarge_pipe(pipe: BorrowedFd<'_>, bytes: i32) {
    #[cfg(target_os = "linux")]
    // SAFETY: the descriptor is open for the duration of the borrow; F_SETPIPE_SZ takes an int and no pointer.
    unsafe {
        libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (pipe, bytes);
}

/// Waits until `pipe` has bytes or has ended.
pub(crate) fn wait_readable(pipe: BorrowedFd<'_>) {
    let mut entry = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `entry` is one valid pollfd for the duration of the call. A failure looks like readiness, and the read
    // that follows meets its cause.
    unsafe {
        libc::poll(&raw mut entry, 1, -1);
    }
}

/// Bytes that wait in `pipe`.
pub(crate) fn readable_bytes(pipe: BorrowedFd<'_>) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the address that it is given.
    let rc = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if rc == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
}

/// Kills the process group that `pid` leads. The caller must not have reaped `pid` yet.
pub(crate) fn kill_group(pid: i32) {
    // SAFETY: kill touches no memory. A group that is gone gives ESRCH, which is what we want anyway.
    unsafe {
        libc::kill(-pid, libc::SIGKILL);
    }
}

/// Waits until the child `pid` has ended, without reaping it, so that its id cannot be re-used yet.
pub(crate) fn wait_for_exit(pid: i32) -> Result<()> {
    let id = libc::id_t::try_from(pid).map_err(|_| Error::invalid("negative process id"))?;
    loop {
        // SAFETY: all-zero bytes are a valid siginfo_t, a plain C struct.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is valid for writes for the duration of the call.
        let rc =
            unsafe { libc::waitid(libc::P_PID, id, &raw mut info, libc::WEXITED | libc::WNOWAIT) };
        if rc == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(Error::os("waitid", &error));
        }
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code, or the negative number of the signal that killed it.
    pub(crate) status: i32,
    /// User + system CPU time.
    pub(crate) cpu_ns: u64,
}

/// Reaps the child `pid`, which has ended or will soon.
pub(crate) fn reap(pid: i32) -> Result<Exit> {
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid rusage, a plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are valid for writes for the duration of the call.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(Error::os("wait4", &error));
        }
    }
    let status =
        if libc::WIFSIGNALED(status) { -libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
    let cpu_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
    Ok(Exit { status, cpu_ns })
}

fn timeval_ns(time: libc::timeval) -> u64 {
    u64::try_from(i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_usec) * 1_000)
        .unwrap_or(0)
}
