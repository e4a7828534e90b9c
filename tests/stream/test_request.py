"""What a decoder is asked for: impossible wishes are named where they are made."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest

import live_sources as live
from dsb.stream.live import open_live
from dsb.stream.request import DecodeRequest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fps", Fraction(0)),
        ("size", (0, 4)),
        ("size", (4, -1)),
        ("start_s", -1.0),
        ("start_s", math.inf),
        ("start_s", math.nan),
        ("threads", 0),
    ],
)
def test_impossible_values_are_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be .*, got "):
        DecodeRequest("a.mp4", **{field: value})


@pytest.mark.parametrize(
    ("fps", "start_s", "whole"),
    [
        (Fraction(2), 3.9, 3),
        (Fraction(2), None, 0),
        (None, 3.9, 0),
        # A tick every 1001/30000 s meets a whole second only every 1001 s, one every 5 s each fifth.
        (Fraction(30000, 1001), 2500.0, 2002),
        (Fraction(1, 5), 13.0, 10),
    ],
)
def test_the_whole_start_is_a_tick_up_to_the_start(
    fps: Fraction | None, start_s: float | None, whole: int
) -> None:
    request = DecodeRequest("a.mp4", fps, start_s=start_s)
    assert request.whole_start == whole


def test_a_live_source_has_no_place_to_start_from() -> None:
    stream = live.settings("/dev/video0")
    with pytest.raises(ValueError, match="not from 3"):
        open_live(DecodeRequest("/dev/video0", start_s=3), stream, capacity=4)
