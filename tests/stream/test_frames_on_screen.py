"""A tick shows the latest frame with `pts <= tick`, for every kind of timing, read from pixels."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import videos
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source
from videos import Video

RATES = [Fraction(1, 2), Fraction(1), Fraction(2), Fraction(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module", params=list(videos.TIMINGS))
def video(request: pytest.FixtureRequest, folder: Path) -> Video:
    return videos.TIMINGS[request.param](folder)


def deliver(path: Path, **how: Any) -> list[tuple[Fraction, int]]:
    """(time in seconds, painted number) of every frame that a source delivers."""
    delivered = []
    with open_source(DecodeRequest(path, **how), capacity=8) as source:
        while source.frames.wait(len(delivered), timeout_s=60):
            frame = len(delivered)
            with source.frames.window(frame, frame + 1) as window:
                number = videos.read_number(np.asarray(window)[0])
                delivered.append((Fraction(window.pts_ns[0], 10**9), number))
            source.frames.release_before(frame + 1)
        assert source.decode_errors == 0, source.stderr
    return delivered


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_each_tick_shows_the_latest_frame_and_never_a_later_one(
    video: Video, fps: Fraction
) -> None:
    delivered = deliver(video.path, fps=fps)
    expected = [(tick, video.on_screen(tick)) for tick, _ in delivered]
    assert delivered == expected


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_no_tick_is_left_out_or_doubled(video: Video, fps: Fraction) -> None:
    ticks = [tick * fps for tick, _ in deliver(video.path, fps=fps)]
    first, last = math.ceil(video.pts[0] * fps), math.floor(video.pts[-1] * fps)
    assert ticks[: last - first + 1] == list(range(first, last + 1))
    # The last picture stays on screen for its own duration, which can reach one more tick.
    assert len(ticks) <= last - first + 2


def test_without_a_rate_every_frame_comes_at_its_own_time(video: Video) -> None:
    delivered = deliver(video.path)
    # Nanoseconds are rounded up, so that no frame is on screen before its time.
    expected = [
        (Fraction(math.ceil(pts * 10**9), 10**9), number) for number, pts in enumerate(video.pts)
    ]
    assert delivered == expected


def test_before_the_first_picture_nothing_is_on_screen(folder: Path) -> None:
    video = videos.audio_first(folder)
    assert deliver(video.path, fps=Fraction(2))[0] == (1, video.on_screen(Fraction(1)))


@pytest.mark.parametrize("start_s", [0.4, 2.0, 3.37])
@pytest.mark.parametrize(
    "make", [videos.b_frames, videos.ntsc, videos.late_start, videos.transport_stream]
)
def test_a_seek_shows_the_same_frames_at_the_same_ticks(
    folder: Path, make: Any, start_s: float
) -> None:
    video = make(folder)
    whole = deliver(video.path, fps=Fraction(2))
    part = deliver(video.path, fps=Fraction(2), start_s=start_s)
    assert part == whole[-len(part) :]
    assert part[0][0] <= math.ceil(start_s * 2) / 2


def test_a_seek_into_a_standing_picture_leaves_ticks_out_but_never_shows_the_future(
    folder: Path,
) -> None:
    video = videos.variable(folder)
    delivered = deliver(video.path, fps=Fraction(5), start_s=3.9)
    assert delivered == [(tick, video.on_screen(tick)) for tick, _ in delivered]


@pytest.mark.parametrize("size", [(320, 192), (80, 80), (91, 37)], ids=str)
def test_frames_have_the_size_that_was_asked_for(folder: Path, size: tuple[int, int]) -> None:
    video = videos.constant(folder)
    with open_source(DecodeRequest(video.path, Fraction(1), size)) as source:
        source.frames.wait(1, timeout_s=60)
        with source.frames.window(0, 2) as window:
            frames = np.asarray(window)
            assert frames.shape == (2, size[1], size[0], 3)
            assert [videos.read_number(frame) for frame in frames] == [0, 30]
            del frames


@pytest.mark.parametrize(
    "codec",
    [
        ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
        ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
        ("-c:v", "libsvtav1", "-preset", "12"),
    ],
    ids=["hevc", "vp9", "av1"],
)
def test_other_codecs_show_the_same_frames(folder: Path, codec: tuple[str, ...]) -> None:
    path = folder / f"{codec[1]}.mp4"
    videos.encode(path, [3000 * n for n in range(60)], codec=codec)
    assert deliver(path, fps=Fraction(2)) == [(Fraction(k, 2), 15 * k) for k in range(4)]
