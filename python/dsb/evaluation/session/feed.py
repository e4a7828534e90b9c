"""Frames of a session: from the ring to the systems, each exactly once, and into the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from dsb._core import FrameRing, Window, WindowSpec
from dsb.errors import FrameEvicted
from dsb.evaluation.session.recorder import Recorder
from dsb.runlog.records import Frames, Received
from dsb.stream.window import NS_PER_S
from dsb.systems.system import System

#: Frames that go to the systems in one call at most.
BATCH = 32


class FrameFeed:
    """Hands the frames of a ring to every system, in order, without gaps, when they come on screen.

    The newest `keep` frames stay in the ring for systems that read pixels when they are asked.
    """

    def __init__(
        self,
        ring: FrameRing,
        systems: Iterable[System],
        recorder: Recorder,
        keep: int,
        on_window: Callable[[Sequence[int]], None] | None = None,
    ) -> None:
        """`on_window` hears of the times of the frames in every window, before the systems do."""
        self._ring = ring
        self._systems = list(systems)
        self._recorder = recorder
        self._keep = keep
        self._on_window = on_window
        #: Frames that were handed over.
        self.fed = 0
        #: Id of the frame after the last one that was handed over or is gone.
        self.next = 0
        #: Id of the frame after the last one that was handed over.
        self.shown = 0

    def advance(self, t_ns: int) -> None:
        """Hand over what has come on screen until `t_ns`.

        Goes by the frames' own times, because a video whose sound starts first shows nothing at 0.
        Raises the source's error when decoding failed.
        """
        visible = self._ring.wait_until(t_ns)
        while self.next < visible:
            self._hand_over(self._ring.window(self.next, min(self.next + BATCH, visible)))

    def take(self, t_ns: int) -> int:
        """Hand over the frames of a live stream until `t_ns` that have come and are not gone.

        Returns how many were overwritten before they could be handed over.
        """
        gone = 0
        visible = self._ring.published_until(t_ns)
        while self.next < visible:
            oldest = min(self._ring.oldest, visible)
            gone += max(0, oldest - self.next)
            self.next = max(oldest, self.next)
            try:
                window = self._ring.window(self.next, min(self.next + BATCH, visible))
            except FrameEvicted:
                # Overwritten just now; counted in the next round.
                continue
            if len(window):
                self._hand_over(window)
        return gone

    def _hand_over(self, window: Window) -> None:
        start, stop = window.ids[0], window.ids[-1] + 1
        with window:
            if self._on_window is not None:
                self._on_window(window.pts_ns)
            receipts = {system.name: system.observe(window) for system in self._systems}
            self._recorder.write(
                Frames,
                t_stream_ns=window.pts_ns[-1],
                start=start,
                stop=stop,
                pts_ns=list(window.pts_ns),
                digests=window.digests(),
                receipts={
                    name: Received(
                        accepted_through=receipt.accepted_through,
                        processed_through=receipt.processed_through,
                        dropped=list(receipt.dropped),
                    )
                    for name, receipt in receipts.items()
                },
            )
        self.fed += stop - start
        self.next = self.shown = stop
        self._ring.release_before(max(0, stop - self._keep))


def frames_back(windows: Sequence[WindowSpec], fps: Fraction) -> int:
    """How many of the newest frames, at `fps` frames per second, these windows can reach."""
    return max((_reach(window, fps) for window in windows), default=0)


def _reach(window: WindowSpec, fps: Fraction) -> int:
    reach = window.max_frames
    if window.rate is not None:
        # Frames between two samples of the window count too; one more for samples that fall between
        # frames.
        reach = -int(-(reach * fps / Fraction(*window.rate)) // 1) + 1
    if window.span_ns is not None:
        reach = min(reach, int(window.span_ns * fps / NS_PER_S) + 1)
    return max(reach, 1)
