"""What a query at stream time t may see: everything up to t and nothing later."""

from __future__ import annotations

from dsb._core import FrameRing, Window, WindowSpec
from dsb.errors import CausalityError


class StreamView:
    """The frames of a stream as they stand at one stream time.

    The only way from a query to pixels. Each answer waits until everything up to t has been
    decoded, so the result depends on t and never on how far the decoder happens to be. A live
    stream does not wait: its view holds what had come when it was made.
    """

    __slots__ = ("_frames", "_stop", "_t_ns", "_timeout_s", "_visible")

    def __init__(
        self,
        frames: FrameRing,
        t_ns: int,
        *,
        timeout_s: float | None = None,
        come: int | None = None,
    ) -> None:
        """Stand at `t_ns` (stream time); waits give up after `timeout_s` of wall time. `come` is the
        number of frames of a live stream that the view may hold.
        """
        if t_ns < 0:
            raise ValueError(f"stream time starts at 0, got {t_ns} ns")
        self._frames = frames
        self._t_ns = t_ns
        self._timeout_s = timeout_s
        self._visible = come
        self._stop = come

    @property
    def t_ns(self) -> int:
        """The stream time of this view, in nanoseconds."""
        return self._t_ns

    @property
    def visible(self) -> int:
        """Number of frames with `pts <= t`; their ids are `0 .. visible - 1`.

        Raises:
            TimeoutError: they were not decoded within `timeout_s`.
            DsbError: the source failed.
        """
        if self._visible is None:
            self._visible = self._frames.wait_until(self._t_ns, self._timeout_s)
        return self._visible

    def at(self, spec: WindowSpec) -> Window:
        """What `spec` selects at t: (T, H, W, 3) uint8, oldest first, the newest with `pts <= t`.

        Raises:
            TimeoutError: the frames were not decoded within `timeout_s`.
            CausalityError: the ring offered a later frame.
        """
        _ = self.visible
        return self._checked(self._frames.at(self._t_ns, spec, self._stop))

    def window(self, start: int, stop: int, step: int = 1) -> Window:
        """Frames `start, start + step, ... < stop` by id.

        Raises:
            CausalityError: one of them comes on screen after t.
            FrameEvicted: one of them has been overwritten.
            ValueError: empty or inverted range.
        """
        if stop > self.visible:
            raise CausalityError(
                f"frame {stop - 1} comes on screen after {self._t_ns / 1e9:.3f} s, where only "
                f"{self.visible} frames have been shown; ask at a later time"
            )
        return self._checked(self._frames.window(start, stop, step))

    def __repr__(self) -> str:
        return f"StreamView(t_s={self._t_ns / 1e9:.3f})"

    def _checked(self, window: Window) -> Window:
        # Costs one comparison and turns a mistake anywhere below into an error instead of a leak.
        if len(window) and window.pts_ns[-1] > self._t_ns:
            latest_ns = window.pts_ns[-1]
            window.release()
            raise CausalityError(
                f"a frame of {latest_ns / 1e9:.6f} s was offered at {self._t_ns / 1e9:.6f} s"
            )
        return window
