"""How far reading falls behind when frames come faster than they are encoded and read.

A queue with one server, in arrival order: every temporal patch is encoded when its last frame has come, and every
`stride`-th patch starts the reading of all that wait. Service times are the means that a run measured, so the result
is a simulation of a steady load, not a measurement of it; what it leaves out is that a longer context takes longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dsb.stream.window import NS_PER_S


@dataclass(frozen=True)
class Ingest:
    """What reading a stream takes. Times are wall time in nanoseconds."""

    #: Frames of a temporal patch.
    span: int
    #: Temporal patches that are read together.
    stride: int
    encode_ns_per_frame: float
    prefill_ns_per_frame: float


@dataclass(frozen=True)
class Backlog:
    """Frames that have come and are not read, counted just before the next one comes."""

    most: int
    #: Behind the last frame.
    at_end: int


def backlog(ingest: Ingest, frames: int, rate: Fraction) -> Backlog:
    """The queue of a stream of `frames` that come at `rate` frames per second of wall time."""
    gap_ns = float(NS_PER_S / rate)
    chunk = ingest.span * ingest.stride
    free_ns = 0.0
    #: When each chunk is read.
    read_ns: list[float] = []
    most = at_end = read = 0
    for frame in range(1, frames + 1):
        if frame % ingest.span == 0:
            free_ns = max(free_ns, frame * gap_ns) + ingest.span * ingest.encode_ns_per_frame
        if frame % chunk == 0:
            free_ns += chunk * ingest.prefill_ns_per_frame
            read_ns.append(free_ns)
        while read < len(read_ns) and read_ns[read] < (frame + 1) * gap_ns:
            read += 1
        at_end = frame - read * chunk
        most = max(most, at_end)
    return Backlog(most, at_end)
