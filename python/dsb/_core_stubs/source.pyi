"""Decoding into a ring."""

from collections.abc import Sequence
from typing import Literal, final

from dsb._core_stubs.prune import Pruning
from dsb._core_stubs.ring import FrameRing

@final
class FrameSource:
    """A decoder child process that fills a ring of frames.

    `argv` must make it write one rawvideo rgb24 stream in NUT to its standard output. `strict` stops at the
    first error that the decoder reports on standard error; otherwise errors are counted. `name` is what error
    messages call the source. `capacity` is in frames. With `overflow="block"` the decoder waits until
    `release_before` makes room, with `"drop-oldest"` the oldest frame is overwritten, or the incoming one thrown
    away if a lease pins the oldest. The constructor waits for the first frame: a source without any is refused.
    `stdin` lets the decoder read our standard input.

    With `live` stream time runs with the wall clock (`now_ns`). If `reconnect_s` is a number, such a source has no
    end of its own: whenever its decoder ends, it is started again after growing pauses, for `reconnect_s` seconds
    of wall time at most; the ring stays, and stream time goes on during the outage.

    `pruned` is a cheaper way to the same frames: arguments that read `Pruning.url`. At that decoder's first
    complaint the one of `argv` takes over where it stopped.

    Raises `DecoderNotFound`, `SourceError` (no such file, not a video, no video stream, ...), `DecodeError`,
    `ProtocolError`, `RingMemoryError`.
    """
    def __new__(
        cls,
        argv: Sequence[str],
        *,
        name: str,
        capacity: int = 64,
        overflow: Literal["block", "drop-oldest"] = "block",
        strict: bool = True,
        pruned: tuple[Sequence[str], Pruning] | None = None,
        stdin: bool = False,
        live: bool = False,
        reconnect_s: float | None = None,
    ) -> FrameSource: ...
    @property
    def frames(self) -> FrameRing: ...
    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
    @property
    def time_base(self) -> tuple[int, int]: ...
    @property
    def now_ns(self) -> int:
        """Stream time now, of a live source: the time stamp that the fastest frame so far, the one with the
        smallest difference between arrival and time stamp, would have if it arrived now. `ValueError` for other
        sources.
        """
    @property
    def outage(self) -> tuple[int, int, str] | None:
        """The present outage of a live source: time stamp of the last frame before it, attempts to connect so far,
        reason; `None` while frames come.
        """
    @property
    def gaps(self) -> list[tuple[int, int, int, str]]:
        """Outages of a live source that are over: time stamp of the last frame before and of the first one after,
        attempts to connect, reason.
        """
    def mark_shown(self, pts_ns: Sequence[int]) -> None:
        """The frames of a live source with these time stamps stand in a window now, for the first time."""
    def delay_ns(self, q: float) -> tuple[int, int | None] | None:
        """The `q`-quantile of how much later than the fastest one the frames of a live source came into the ring,
        and into their first window (`None` if no window was marked); `None` before the first frame.
        """
    @property
    def decode_errors(self) -> int:
        """Errors that the decoder reported so far."""
    @property
    def stderr(self) -> str:
        """The last lines that the decoder wrote."""
    @property
    def pruned(self) -> bool:
        """Whether frames come from the decoder that reads only the packets that are needed."""
    @property
    def pid(self) -> int: ...
    @property
    def decode_wall_ns(self) -> int:
        """Wall time from the start of the child until its end, or until now."""
    @property
    def decode_cpu_ns(self) -> int:
        """User + system CPU time of the child, known once it has been reaped (0 before)."""
    def close(self) -> None:
        """Kill and reap the decoder; windows stay valid."""
    def __enter__(self) -> FrameSource: ...
    def __exit__(self, *exc: object) -> None: ...
