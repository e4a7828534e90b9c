"""From settings in seconds to the exact numbers of the core."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from dsb._core import WindowSpec

NS_PER_S = 1_000_000_000


def exact(value: int | float | str | Fraction) -> Fraction:
    """The fraction that a person meant: `0.1` is 1/10 and not its nearest binary number.

    Text may be a decimal (`29.97`) or a quotient (`30000/1001`).

    Raises:
        ValueError: not a finite number.
    """
    try:
        return Fraction(repr(value) if isinstance(value, float) else value)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{value!r} is no finite number") from error


def seconds_to_ns(seconds: int | float | str | Fraction) -> int:
    """Nanoseconds, rounded up: a question at t sees whatever happens until t."""
    return -int(-exact(seconds) * NS_PER_S // 1)


def union_rate(rates: Sequence[Fraction]) -> Fraction:
    """The slowest rate whose ticks hold those of all `rates`: what one decode delivers for windows
    that are sampled at different rates.

    Raises:
        ValueError: no rate, or one that is not positive.
    """
    if not rates or min(rates) <= 0:
        raise ValueError(f"rates must be positive, got {', '.join(map(str, rates)) or 'none'}")
    return Fraction(
        math.lcm(*(rate.numerator for rate in rates)),
        math.gcd(*(rate.denominator for rate in rates)),
    )


def window_spec(
    *,
    max_frames: int,
    span_s: float | Fraction | None = None,
    fps: float | Fraction | None = None,
) -> WindowSpec:
    """The core's `WindowSpec` for a window given in seconds and frames per second.

    `span_s=None` reaches back to the start of the stream, `fps=None` takes every delivered frame.

    Raises:
        ValueError: a non-positive span, rate or number of frames.
    """
    given = {"span_s": span_s, "fps": fps, "max_frames": max_frames}
    for name, value in given.items():
        if value is not None and exact(value) <= 0:
            raise ValueError(f"window.{name} must be positive, got {value}")
    rate = None if fps is None else exact(fps).as_integer_ratio()
    span_ns = None if span_s is None else seconds_to_ns(span_s)
    return WindowSpec(max_frames=max_frames, span_ns=span_ns, rate=rate)
