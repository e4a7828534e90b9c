//! Memory in which a run of bytes that crosses the end is still one slice.
//!
//! A [`Mirror`] of `len` bytes is `2 * len` bytes of address space; byte `i` and byte `i + len` hold the same
//! value for readers. On Linux both halves map the same pages of a memfd. Elsewhere, under Miri and loom, which know no
//! shared mappings, and with the feature `heap-ring`, both halves are heap memory and every write is copied to the
//! other half ([`Mirror::sync`]).
#![allow(unsafe_code, reason = "maps memory; every block argues its safety")]

use std::ptr::NonNull;

use crate::error::{Error, Result};

/// `len` bytes, visible twice in a row. Zeroed when made, freed when dropped.
///
/// The type hands out raw pointers only: who may read or write what, and when, is decided by
/// [`ring`](crate::ring).
///
/// **Invariants**: `base` is valid for reads and writes of `2 * len` bytes until the drop; `len` is a positive
/// multiple of [`Mirror::granularity`].
#[derive(Debug)]
pub struct Mirror {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a Mirror owns its memory and has no interior access of its own: all reads and writes go through
// `base()`, whose users carry the burden of proof.
unsafe impl Send for Mirror {}
// SAFETY: as above; `&Mirror` gives nothing but the address, the length and `sync`, which is unsafe to call.
unsafe impl Sync for Mirror {}

impl Mirror {
    /// Mirrors `len` bytes. `len` must be a positive multiple of [`Mirror::granularity`] and at most a quarter
    /// of the address space, else [`Error::Invalid`]; [`Error::Os`] if the memory is not to be had.
    pub fn new(len: usize) -> Result<Self> {
        if len == 0 || !len.is_multiple_of(Self::granularity()) || len > isize::MAX as usize / 2 {
            return Err(Error::invalid(format!("cannot mirror {len} bytes")));
        }
        Ok(Self { base: backing::map(len)?, len })
    }

    /// Every length is a multiple of this: the page size, or 1 on the heap.
    pub fn granularity() -> usize {
        backing::granularity()
    }

    /// Start of the first half; valid for `2 * len()` bytes.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes in one half.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Makes bytes `[start, start + count)` (with `start < len`, `count <= len`) visible in the other half.
    ///
    /// # Safety
    /// Nobody may write these bytes, or read or write their images in the other half, during the call.
    pub unsafe fn sync(&self, start: usize, count: usize) {
        debug_assert!(start < self.len && count <= self.len);
        // SAFETY: the caller's promise is exactly what the backing asks for.
        unsafe { backing::sync(self.base, self.len, start, count) }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // SAFETY: `base` came from `map(len)` and nobody can use it after the drop.
        unsafe { backing::unmap(self.base, self.len) }
    }
}

#[cfg(all(target_os = "linux", not(any(miri, loom, feature = "heap-ring"))))]
mod backing {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::ptr::{self, NonNull};

    use crate::error::{Error, Result};
    use crate::os;

    pub(super) fn granularity() -> usize {
        os::page_bytes()
    }

    pub(super) fn map(len: usize) -> Result<NonNull<u8>> {
        let memory = memfd(len)?;
        // Reserving the whole range first and mapping over it leaves no gap that another thread could take.
        // SAFETY: a new anonymous mapping, placed by the kernel, touches no existing memory.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(ptr::null_mut(), 2 * len, libc::PROT_NONE, flags, -1, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(Error::last_os("mmap"));
        }
        for half in 0..2 {
            // SAFETY: the target lies inside the range that we have just reserved and that nobody else knows.
            let mapped = unsafe {
                let protection = libc::PROT_READ | libc::PROT_WRITE;
                let flags = libc::MAP_SHARED | libc::MAP_FIXED;
                libc::mmap(base.byte_add(half * len), len, protection, flags, memory.as_raw_fd(), 0)
            };
            if mapped == libc::MAP_FAILED {
                let error = Error::last_os("mmap");
                // SAFETY: the reservation is ours and no pointer into it has left this function.
                unsafe { libc::munmap(base, 2 * len) };
                return Err(error);
            }
        }
        NonNull::new(base.cast()).ok_or(Error::Os { call: "mmap", code: libc::ENOMEM })
    }

    fn memfd(len: usize) -> Result<OwnedFd> {
        // SAFETY: the name is a NUL-terminated literal.
        let fd = unsafe { libc::memfd_create(c"dsb-ring".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last_os("memfd_create"));
        }
        // SAFETY: `fd` is a fresh descriptor that nothing else owns.
        let memory = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = libc::off_t::try_from(len).map_err(|_| Error::invalid("ring too large"))?;
        // SAFETY: no pointers are involved.
        if unsafe { libc::ftruncate(memory.as_raw_fd(), size) } != 0 {
            return Err(Error::last_os("ftruncate"));
        }
        Ok(memory)
    }

    /// Both halves are the same pages: nothing to do.
    pub(super) unsafe fn sync(_base: NonNull<u8>, _len: usize, _start: usize, _count: usize) {}

    pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize) {
        // SAFETY: the caller passes what `map` returned, once.
        unsafe { libc::munmap(base.as_ptr().cast(), 2 * len) };
    }
}

#[cfg(any(not(target_os = "linux"), miri, loom, feature = "heap-ring"))]
mod backing {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    use crate::error::{Error, Result};

    pub(super) fn granularity() -> usize {
        1
    }

    fn layout(len: usize) -> Result<Layout> {
        Layout::from_size_align(2 * len, 64).map_err(|_| Error::invalid("ring too large"))
    }

    pub(super) fn map(len: usize) -> Result<NonNull<u8>> {
        // SAFETY: the layout has a positive size, because `len` is positive.
        let base = unsafe { alloc_zeroed(layout(len)?) };
        NonNull::new(base).ok_or(Error::Os { call: "malloc", code: libc::ENOMEM })
    }

    pub(super) unsafe fn sync(base: NonNull<u8>, len: usize, start: usize, count: usize) {
        let first = count.min(len - start);
        // SAFETY: both ranges lie in the allocation of `2 * len` bytes and, being `len` apart with
        // `first <= len`, do not overlap; the caller excludes everybody else.
        unsafe {
            let from = base.add(start);
            from.copy_to_nonoverlapping(base.add(start + len), first);
            // What crossed the seam belongs to the start of the first half.
            base.add(len).copy_to_nonoverlapping(base, count - first);
        }
    }

    pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize) {
        if let Ok(layout) = layout(len) {
            // SAFETY: `map` allocated with this very layout.
            unsafe { dealloc(base.as_ptr(), layout) };
        }
    }
}
