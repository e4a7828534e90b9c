"""Frames of a session: from the ring to the systems, each exactly once, and into the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from dsb._core import FrameRing, WindowSpec
from dsb.evaluation.recorder import Recorder
from dsb.evaluation.records import Frames
from dsb.systems.system import System

#: Frames that go to the systems in one call at most.
BATCH = 32
NS_PER_S = 1_000_000_000


class FrameFeed:
    """Hands the frames of a ring to every system, in order, without gaps, when they come on screen.

    The newest `keep` frames stay in the ring for systems that read pixels when they are asked.
    """

    def __init__(
        self, ring: FrameRing, systems: Iterable[System], recorder: Recorder, keep: int
    ) -> None:
        self._ring = ring
        self._systems = list(systems)
        self._recorder = recorder
        self._keep = keep
        self.fed = 0

    def advance(self, t_ns: int) -> None:
        """Hand over what has come on screen until `t_ns`.

        Goes by the frames' own times, because a video whose sound starts first shows nothing at 0.
        Raises the source's error when decoding failed.
        """
        visible = self._ring.wait_until(t_ns)
        while self.fed < visible:
            stop = min(self.fed + BATCH, visible)
            self._hand_over(self.fed, stop)
            self.fed = stop
            self._ring.release_before(max(0, stop - self._keep))

    def _hand_over(self, start: int, stop: int) -> None:
        with self._ring.window(start, stop) as window:
            self._recorder.write(
                Frames,
                t_stream_ns=window.pts_ns[-1],
                start=start,
                stop=stop,
                pts_ns=list(window.pts_ns),
                digests=window.digests(),
            )
            for system in self._systems:
                system.observe(window)


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
