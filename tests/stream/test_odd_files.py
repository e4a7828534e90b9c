"""Odd and broken files: the right frames at the right times, or damage that is counted or said.

The number of each frame stands in its pixels and its time is set by arithmetic, so "right" never
means "as some decoder has it". Everything holds for the oldest and the newest ffmpeg that is here,
and whether or not packets are left out.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import odd_files
import videos
from dsb.errors import DecodeError, DsbError, SourceError
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source
from odd_files import FRAMES, INTACT, TICKS_PER_S
from videos import Video

#: Files with damaged pictures; `tests/run --deep` makes more of them.
FLIPS = int(os.environ.get("DSB_FLIPS", "60"))
#: No single test comes near this; what takes longer hangs.
HANG_S = 400 + FLIPS
UNREADABLE = -1


@pytest.fixture(autouse=True)
def _nothing_hangs() -> Iterator[None]:
    """Interrupts a wait that would never end, be it for the first frame or for a later one."""

    def hangs(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"no end within {HANG_S} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(HANG_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("odd")


@pytest.fixture(scope="module", params=videos.decoders(), ids=lambda path: Path(path).name[:8])
def ffmpeg(request: pytest.FixtureRequest) -> str:
    return str(request.param)


either_way = pytest.mark.parametrize("pruning", ["auto", "off"])


@dataclass
class Played:
    """What a source delivered until its end."""

    frames: list[tuple[Fraction, int]] = field(default_factory=list)
    """(time in seconds, painted number) of each frame."""
    size: tuple[int, int] | None = None
    damage: int = 0
    """Errors of the decoder that were counted."""
    error: DsbError | None = None
    """What ended it early."""


def play(path: Path, *, quarter_turns: int = 0, pruning: Any = "auto", **how: Any) -> Played:
    played = Played()
    request = DecodeRequest(path, threads=1, **how)
    try:
        with open_source(request, capacity=8, pruning=pruning) as source:
            played.size = source.size
            try:
                while source.frames.wait(len(played.frames), timeout_s=60):
                    frame = len(played.frames)
                    with source.frames.window(frame, frame + 1) as window:
                        picture = np.rot90(np.asarray(window)[0], -quarter_turns)
                        time = Fraction(window.pts_ns[0], 10**9)
                        played.frames.append((time, number_in(picture)))
                        del picture
                    source.frames.release_before(frame + 1)
            finally:
                played.damage = source.decode_errors
    except DsbError as error:
        played.error = error
    return played


def number_in(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> int:
    try:
        return videos.read_number(picture)
    except AssertionError:
        return UNREADABLE


def ticks_of(video: Video, fps: Fraction) -> list[tuple[Fraction, int | None]]:
    """(tick, number on screen) from the first frame to the last, the slow way."""
    first, last = math.ceil(max(video.pts[0], 0) * fps), math.floor(video.pts[-1] * fps)
    return [(k / fps, video.on_screen(k / fps)) for k in range(first, last + 1)]


# -- intact files that are unusual ---------------------------------------------------------------


@either_way
@pytest.mark.parametrize("name", INTACT)
def test_an_unusual_file_shows_the_right_frame_at_each_tick(
    name: str, ffmpeg: str, pruning: str, folder: Path
) -> None:
    odd = INTACT[name](folder / f"{name.replace(':', '')}.mp4")
    fps = Fraction(2)
    played = play(
        odd.video.path, fps=fps, quarter_turns=odd.quarter_turns, ffmpeg=ffmpeg, pruning=pruning
    )
    assert (played.error, played.damage, played.size) == (None, 0, odd.size)
    expected = ticks_of(odd.video, fps)
    assert played.frames[: len(expected)] == expected
    # The last picture stays on screen for its own duration, which can reach one more tick.
    assert len(played.frames) <= len(expected) + 1


@either_way
@pytest.mark.parametrize("name", odd_files.NAMES)
def test_any_file_name_can_be_decoded(
    name: str,
    ffmpeg: str,
    pruning: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = odd_files.at_25_fps(folder / "named.mp4")
    shutil.copy(video.path, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    played = play(Path(name), fps=Fraction(1), ffmpeg=ffmpeg, pruning=pruning)
    assert played.frames[:3] == ticks_of(video, Fraction(1))


# -- damaged files -------------------------------------------------------------------------------


def right(time: Fraction) -> int:
    """The number on screen at `time` in the whole video."""
    return min(FRAMES - 1, math.floor(time * 25))


def wrong(played: Played) -> list[tuple[Fraction, int]]:
    return [(time, number) for time, number in played.frames if number != right(time)]


def assert_on_the_grid(played: Played) -> None:
    """One frame per tick from 0 on, none left out, doubled or at another time."""
    assert [time for time, _ in played.frames] == [
        k / TICKS_PER_S for k in range(len(played.frames))
    ]


def assert_damage_is_known(path: Path, lenient: Played, strict: Played) -> None:
    """A lenient source counts what it conceals; a strict one says where damage is, and shows
    nothing of it. Codecs have no checksum: what the decoder cannot notice is a wrong picture at the
    right time.
    """
    assert_on_the_grid(lenient)
    assert_on_the_grid(strict)
    noticed = lenient.damage > 0 or lenient.error is not None
    assert noticed == (strict.error is not None)
    if not noticed:
        assert strict.frames == lenient.frames
        return
    assert not wrong(strict), wrong(strict)
    assert isinstance(strict.error, DecodeError | SourceError)
    if isinstance(strict.error, DecodeError):
        assert_place_is_said(path, strict, strict.error)


def assert_place_is_said(path: Path, played: Played, error: DecodeError) -> None:
    assert str(path) in str(error)
    assert error.frames == len(played.frames)
    if error.after_ns is None:
        assert "before a frame was delivered" in str(error)
    else:
        assert f"after {error.after_ns / 1e9:.3f} s" in str(error)
        # Pruning may have passed over the first damage and met a later one.
        assert error.after_ns <= played.frames[-1][0] * 10**9


@either_way
@pytest.mark.parametrize("tenths", range(1, 10))
@pytest.mark.parametrize("index_first", [True, False], ids=["index-first", "index-last"])
def test_a_file_that_was_cut_off_at_any_tenth(
    index_first: bool, tenths: int, ffmpeg: str, pruning: str, folder: Path, tmp_path: Path
) -> None:
    original = folder / f"whole_{index_first}.mp4"
    if not original.exists():
        odd_files.whole(original, index_first=index_first)
    data = original.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * tenths // 10])
    how = {"fps": TICKS_PER_S, "ffmpeg": ffmpeg, "pruning": pruning}
    lenient, strict = (play(path, strict=strict, **how) for strict in (False, True))
    assert_damage_is_known(path, lenient, strict)
    if not index_first:
        assert isinstance(strict.error, SourceError)
        assert isinstance(lenient.error, SourceError)
        return
    assert lenient.damage > 0
    assert isinstance(strict.error, DecodeError)
    # What comes before the cut is there.
    assert len(lenient.frames) - 1 == pytest.approx(tenths, abs=1.5)


def test_a_flipped_byte_among_the_pictures_is_harmless_or_known(
    ffmpeg: str, folder: Path, tmp_path: Path
) -> None:
    data = odd_files.whole(folder / "flipped.mp4").path.read_bytes()
    pictures = range(data.index(b"mdat") + 4, odd_files.index_of(data).start)
    path = tmp_path / "flipped.mp4"
    for number, (place, flipped) in enumerate(odd_files.flips(data, FLIPS, 11, pictures)):
        path.write_bytes(flipped)
        how = {"fps": TICKS_PER_S, "ffmpeg": ffmpeg, "pruning": ("auto", "off")[number % 2]}
        lenient, strict = (play(path, strict=strict, **how) for strict in (False, True))
        try:
            assert_damage_is_known(path, lenient, strict)
        except AssertionError as error:
            raise AssertionError(f"byte {place} changed to {flipped[place]}") from error


def test_a_flipped_byte_in_the_index_has_the_same_effect_with_and_without_pruning(
    ffmpeg: str, folder: Path, tmp_path: Path
) -> None:
    """The index says when pictures are shown: a flip can make it say something else, and nobody can
    tell. What it says is what counts then, and one reading of it.
    """
    data = odd_files.whole(folder / "indexed.mp4").path.read_bytes()
    path = tmp_path / "indexed.mp4"
    for place, flipped in odd_files.flips(data, 60, 12, odd_files.index_of(data)):
        path.write_bytes(flipped)
        how = {"fps": TICKS_PER_S, "ffmpeg": ffmpeg, "strict": False}
        full, pruned = (play(path, pruning=pruning, **how) for pruning in ("off", "auto"))
        where = f"byte {place} changed to {flipped[place]}"
        assert pruned.frames == full.frames, where
        assert type(pruned.error) is type(full.error), where
        times = [time * TICKS_PER_S for time, _ in full.frames]
        assert all(time.denominator == 1 for time in times), where
        assert times == sorted(set(times)), where


def test_damage_in_a_packet_that_no_tick_needs_is_not_even_met(
    ffmpeg: str, folder: Path, tmp_path: Path
) -> None:
    data = odd_files.whole(folder / "spared.mp4").path.read_bytes()
    pictures = range(data.index(b"mdat") + 4, odd_files.index_of(data).start)
    path = tmp_path / "spared.mp4"
    how = {"fps": Fraction(1), "ffmpeg": ffmpeg}
    spared = 0
    for _, flipped in odd_files.flips(data, 12, 13, pictures):
        path.write_bytes(flipped)
        pruned = play(path, pruning="auto", **how)
        if pruned.error is None and play(path, pruning="off", **how).error is not None:
            assert not wrong(pruned)
            spared += 1
    assert spared > 0
