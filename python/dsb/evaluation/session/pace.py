"""A session on a live source: frames are handed over as they come, and events wait for their time.

Nothing waits for a frame. What a question at t may see is what had come until t when its turn came; a
frame that was overwritten before is gone, and an outage is a gap.
"""

from __future__ import annotations

import time
from typing import Protocol

from dsb._core import FrameSource, RealClock, VirtualClock
from dsb.errors import DsbError, StreamLost
from dsb.evaluation.session.feed import FrameFeed
from dsb.evaluation.session.recorder import Recorder
from dsb.runlog.records import Gap, LiveFigures
from dsb.stream.view import StreamView

#: Seconds after which a wait looks at the clock again, which an early frame may have moved.
_SLICE_S = 0.1


class Pace(Protocol):
    """Brings a session to the times of its events."""

    def reach(self, t_ns: int) -> StreamView:
        """Wait for stream time `t_ns`, hand over the frames until then and return what is visible."""

    @property
    def fed(self) -> int:
        """Frames that were handed over."""

    def figures(self) -> LiveFigures | None:
        """How a live stream came, until now."""


class Recorded:
    """A file: every frame until t is waited for."""

    def __init__(self, source: FrameSource, feed: FrameFeed, *, realtime: bool) -> None:
        self._frames = source.frames
        self._feed = feed
        self._clock = RealClock() if realtime else VirtualClock()

    def reach(self, t_ns: int) -> StreamView:
        """See `Pace.reach`. Raises the source's error when decoding failed."""
        self._clock.sleep_until(t_ns)
        self._feed.advance(t_ns)
        return StreamView(self._frames, t_ns)

    @property
    def fed(self) -> int:
        """See `Pace.fed`."""
        return self._feed.fed

    def figures(self) -> None:
        """See `Pace.figures`."""


class LivePace:
    """A live source, and the figures of how it came."""

    def __init__(self, source: FrameSource, feed: FrameFeed, recorder: Recorder) -> None:
        self._source = source
        self._feed = feed
        self._recorder = recorder
        #: Frames that were overwritten before they could be handed over.
        self._gone = 0
        self._gaps = 0
        self._gap_ns = 0

    def reach(self, t_ns: int) -> StreamView:
        """See `Pace.reach`. Raises `StreamLost` when the source failed before `t_ns`."""
        while (left_ns := t_ns - self._source.now_ns) > 0:
            self._take(t_ns)
            self._wait(min(left_ns / 1e9, _SLICE_S))
        self._take(t_ns)
        return StreamView(self._source.frames, t_ns, come=self._feed.shown)

    @property
    def fed(self) -> int:
        """See `Pace.fed`."""
        return self._feed.fed

    def figures(self) -> LiveFigures:
        """Everything until now; an outage that goes on is recorded as a gap without an end."""
        self._note_gaps()
        if (outage := self._source.outage) is not None:
            from_ns, attempts, reason = outage
            self._note(self._source.now_ns, from_ns, None, attempts, reason)
        stats = self._source.frames.stats()
        (ring_p50, window_p50), (ring_p95, window_p95) = self._delays_ns(0.5), self._delays_ns(0.95)
        return LiveFigures(
            frames_come=stats.pushed + stats.dropped,
            frames_dropped=self._gone + stats.dropped,
            gaps=self._gaps,
            gap_ns=self._gap_ns,
            ring_p50_ns=ring_p50,
            ring_p95_ns=ring_p95,
            window_p50_ns=window_p50,
            window_p95_ns=window_p95,
        )

    def _delays_ns(self, q: float) -> tuple[int, int | None]:
        delays_ns = self._source.delay_ns(q)
        assert delays_ns is not None, "an open source has a first frame"
        return delays_ns

    def _take(self, t_ns: int) -> None:
        self._note_gaps()
        self._gone += self._feed.take(t_ns)

    def _wait(self, seconds: float) -> None:
        """Until the next frame comes, but not for long."""
        try:
            if self._source.frames.wait(self._feed.next, seconds):
                # Frames that are there and whose time has not come.
                time.sleep(min(seconds, 0.01))
            else:
                time.sleep(seconds)
        except TimeoutError:
            pass
        except DsbError as error:
            self._take(self._source.now_ns)
            raise StreamLost(str(error)) from error

    def _note_gaps(self) -> None:
        for from_ns, to_ns, attempts, reason in self._source.gaps[self._gaps :]:
            self._gaps += 1
            self._gap_ns += to_ns - from_ns
            self._note(to_ns, from_ns, to_ns, attempts, reason)

    def _note(self, t_ns: int, from_ns: int, to_ns: int | None, attempts: int, reason: str) -> None:
        self._recorder.write(
            Gap, t_stream_ns=t_ns, from_ns=from_ns, to_ns=to_ns, attempts=attempts, reason=reason
        )
