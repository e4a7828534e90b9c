"""Opens sessions by the thousand in a process of its own and writes what they left behind.

`python tests/support/many_sessions.py VIDEO NUT SESSIONS DECODED`: `SESSIONS` read the NUT stream through a
child process that copies it, `DECODED` more decode the video. Of every four sessions one is read
to its end and closed, one is closed midway, one is dropped midway, and one is dropped while a
window of it lives on.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil

from dsb._core import FrameSource
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source

CAPACITY = 4


@dataclass(frozen=True)
class Held:
    """What the process holds."""

    descriptors: int
    threads: int
    children: int
    rss_bytes: int


def held() -> Held:
    gc.collect()
    process = psutil.Process()
    children = len(process.children(recursive=True))
    return Held(process.num_fds(), process.num_threads(), children, process.memory_info().rss)


def session(number: int, source: FrameSource) -> None:
    """Use up one source; it is dropped by the caller's loop."""
    frames = source.frames
    assert frames.wait(1, 60)
    window = frames.window(0, 2)
    assert np.asarray(window).any()
    way = number % 4
    if way == 0:
        frame = 0
        while frames.wait(frame, 60):
            frames.release_before(frame := frame + 1)
            if frame == CAPACITY:
                window.release()
    if way <= 1:
        window.release()
        source.close()
    if way == 3:
        # The window outlives its source.
        del frames, source
        assert np.asarray(window).any()


def repeat(count: int, opened: Callable[[], FrameSource]) -> None:
    for number in range(count):
        session(number, opened())


def main(video: Path, nut: Path, sessions: int, decoded: int) -> None:
    """Write what was held after the warm-up and at the end, as JSON."""

    def copied() -> FrameSource:
        return FrameSource(["cat", str(nut)], name="copy", capacity=CAPACITY)

    def decode() -> FrameSource:
        return open_source(DecodeRequest(video, Fraction(30)), capacity=CAPACITY)

    repeat(max(40, sessions // 50), copied)
    repeat(8, decode)
    before = held()
    repeat(sessions, copied)
    repeat(decoded, decode)
    json.dump({"before": asdict(before), "after": asdict(held())}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
