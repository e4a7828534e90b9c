"""The streaming core, written in Rust: rings, decoding, windows, scheduling, slot ledger, simulation, resampling.

Times are integer nanoseconds. `*_ns` of a frame, window, event or clock is *stream time*, counted from the
start of the video. A *frame id* counts the delivered frames of one source from 0 and is never re-used.
Classes are immutable handles on shared state and safe to use from several threads; every call that waits
releases the interpreter and honours Ctrl-C.

The stubs of its classes and functions stand in `_core_stubs`.
"""

from dsb._core_stubs.clock import RealClock, VirtualClock
from dsb._core_stubs.ledger import SlotLedger
from dsb._core_stubs.prune import PacketIndex, Pruning
from dsb._core_stubs.resample import (
    Curve,
    Interval,
    bootstrap_curve,
    bootstrap_difference,
    bootstrap_quantile,
    bootstrap_ratio,
    sign_flip,
    swap_test,
)
from dsb._core_stubs.ring import EmbeddingRing, FrameRing, RingStats
from dsb._core_stubs.schedule import Event, Scheduler
from dsb._core_stubs.simulate import Simulation, Simulator
from dsb._core_stubs.source import FrameSource
from dsb._core_stubs.window import Window, WindowSpec, select

__all__ = [
    "Curve",
    "EmbeddingRing",
    "Event",
    "FrameRing",
    "FrameSource",
    "Interval",
    "PacketIndex",
    "Pruning",
    "RealClock",
    "RingStats",
    "Scheduler",
    "Simulation",
    "Simulator",
    "SlotLedger",
    "VirtualClock",
    "Window",
    "WindowSpec",
    "__version__",
    "bootstrap_curve",
    "bootstrap_difference",
    "bootstrap_quantile",
    "bootstrap_ratio",
    "is_debug_build",
    "select",
    "sign_flip",
    "swap_test",
]

__version__: str

def is_debug_build() -> bool:
    """Whether the core was compiled without optimisation; benchmarks of such a build mean nothing."""
