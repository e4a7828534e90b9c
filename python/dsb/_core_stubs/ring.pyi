"""Rings of frames and of embeddings."""

from typing import final

from typing_extensions import Buffer  # in collections.abc from Python 3.12 on

from dsb._core_stubs.window import Window, WindowSpec

@final
class RingStats:
    """Counters since the ring was made."""
    @property
    def pushed(self) -> int: ...
    @property
    def evicted(self) -> int: ...
    @property
    def dropped(self) -> int:
        """Incoming records that were thrown away because a lease pinned the oldest one."""
    @property
    def pinned(self) -> int:
        """Records that leases pin now."""

@final
class FrameRing:
    """The newest frames of a source. Ids `[oldest, newest)` are live."""
    @property
    def capacity(self) -> int:
        """Frames it holds, at least as many as asked for (whole memory pages)."""
    @property
    def oldest(self) -> int: ...
    @property
    def newest(self) -> int: ...
    @property
    def finished(self) -> bool:
        """No further frame will come."""
    def wait(self, frame: int, timeout_s: float | None = None) -> bool:
        """Until `frame` is published (True) or the source ended before it (False).

        Raises the source's error if it failed, `RingFull` if the source waits for `release_before` and so `frame`
        cannot come, `TimeoutError` after `timeout_s` of wall time.
        """
    def wait_until(self, t_ns: int, timeout_s: float | None = None) -> int:
        """Until every frame with `pts <= t_ns` is published; returns the number of frames with `pts <= t_ns`.

        That is known only when a later frame or the end has been seen. Raises what `wait` does, and `FrameEvicted`
        if the number is forgotten, because the frames around `t_ns` have long been given back or overwritten.
        """
    def published_until(self, t_ns: int) -> int:
        """Number of frames with `pts <= t_ns` that have been published by now, those that are gone included."""
    def window(self, start: int, stop: int, step: int = 1) -> Window:
        """Lease frames `start, start+step, ... < stop`. Raises `FrameEvicted`, `FrameNotReady`, `ValueError`."""
    def at(self, t_ns: int, spec: WindowSpec, stop: int | None = None) -> Window:
        """Lease what `spec` selects at `t_ns` among the live frames; never a frame with `pts > t_ns`, nor one with
        an id of `stop` or above.
        """
    def release_before(self, frame: int) -> None:
        """Allow the source to overwrite everything before `frame` (`overflow="block"`)."""
    def stats(self) -> RingStats: ...

@final
class EmbeddingRing:
    """A ring of fixed-size byte records, one per temporal patch, that the caller fills.

    Raises `RingMemoryError` if the system does not give its memory, like `FrameSource`.
    """
    def __new__(cls, *, record_bytes: int, capacity: int) -> EmbeddingRing: ...
    @property
    def capacity(self) -> int: ...
    @property
    def record_bytes(self) -> int: ...
    @property
    def oldest(self) -> int: ...
    @property
    def newest(self) -> int: ...
    def push(self, record: Buffer, pts_ns: int) -> int:
        """Copy one or more whole records in (C-contiguous); returns the id of the first.

        All of them carry `pts_ns`, which never decreases. The oldest records make room; raises `RingFull` when a
        lease pins one of those, and `RingForked` in a process that was forked from the ring's own.
        """
    def window(self, start: int, stop: int, step: int = 1) -> Window: ...
    def stats(self) -> RingStats: ...
