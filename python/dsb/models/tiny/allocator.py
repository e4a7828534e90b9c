"""glibc's allocator on long runs with large temporaries; other C libraries are left alone."""

from __future__ import annotations

import ctypes

# Option of `mallopt`: from this size on, an allocation is a mapping of its own and goes back to the
# system as soon as it is freed.
_M_MMAP_THRESHOLD = -3

#: While frames are rendered, small objects that stay (sprites, bank entries) lie between large
#: temporaries; from the heap, those would leave holes that add up to gigabytes.
WHILE_RENDERING = 1 << 20
#: A mapping per tensor would cost page faults in every step.
WHILE_TRAINING = 1 << 25


def set_mmap_threshold(size: int) -> None:
    """Serve allocations of at least `size` bytes by mappings, and release free memory."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, size)
    release_free_memory()


def release_free_memory() -> None:
    """Return the free pages of the heap to the system."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
