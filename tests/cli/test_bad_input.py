"""Whatever is wrong with a source: one typed error with file and remedy, and no leftovers."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import videos
from dsb._core import FrameSource
from dsb.errors import DecodeError, DecoderNotFound, DsbError, ProtocolError, SourceError
from dsb.stream.binary import find_ffmpeg
from dsb.stream.probe import probe
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source
from videos import Video

#: A user without rights, on every system that has numbers for users.
NOBODY = 65534


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    return videos.constant(tmp_path_factory.mktemp("whole"))


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    """Every test here leaves as many children and open files as it found."""
    before = children(), open_files()
    yield
    gc.collect()
    assert (children(), open_files()) == before


def children() -> list[str]:
    """Child processes of this one, zombies included."""
    return [
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def read_to_the_end(source: FrameSource) -> int:
    """Wait for each frame and give it back; returns how many there were."""
    frame = 0
    while source.frames.wait(frame, timeout_s=60):
        frame += 1
        source.frames.release_before(frame)
    return frame


def drain(path: Path, *, pruning: Any = "auto", **how: Any) -> int:
    """Decode everything; returns the number of frames."""
    with open_source(DecodeRequest(path, **how), capacity=8, pruning=pruning) as source:
        return read_to_the_end(source)


def missing(_: Video, path: Path) -> Path:
    return path


def missing_folder(_: Video, path: Path) -> Path:
    return path.parent / "nowhere" / path.name


def folder(_: Video, path: Path) -> Path:
    path.mkdir()
    return path


def empty(_: Video, path: Path) -> Path:
    path.touch()
    return path


def text(_: Video, path: Path) -> Path:
    path.write_text("Dear diary, today I watched a video.\n" * 40, encoding="utf-8")
    return path


def noise(_: Video, path: Path) -> Path:
    path.write_bytes(np.random.default_rng(5).bytes(20_000))
    return path


def truncated_before_its_index(video: Video, path: Path) -> Path:
    return videos.truncated(video, path, index_first=False)


def audio_only(_: Video, path: Path) -> Path:
    return videos.audio_only(path)


def no_frames(video: Video, path: Path) -> Path:
    return videos.no_frames(video, path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (missing, "no such file.*check the name"),
        (missing_folder, "no such file.*nowhere.*check the data folder"),
        (folder, "is a folder.*name one of the files"),
        (empty, "is empty.*copy or download it again"),
        (text, "is a text file.*check the name"),
        (noise, "download|copy"),
        (truncated_before_its_index, "download|copy"),
        (audio_only, "no video stream"),
        (no_frames, "no frame|no picture|copy|download"),
    ],
)
def test_a_source_without_frames_is_one_source_error(
    video: Video, tmp_path: Path, make: Callable[[Video, Path], Path], says: str
) -> None:
    path = make(video, tmp_path / "clip.mp4")
    with pytest.raises(SourceError, match=f"(?s){re.escape(str(path))}.*({says})"):
        drain(path, fps=Fraction(2))


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Without the right of root to read everything."""
    user = os.geteuid()
    os.seteuid(user or NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_an_unreadable_file_is_a_source_error(video: Video) -> None:
    # Below /tmp, because the folders of pytest are closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "secret.mp4"
        path.write_bytes(video.path.read_bytes())
        path.chmod(0)
        Path(folder).chmod(0o755)
        with as_ordinary_user(), pytest.raises(SourceError, match=r"secret\.mp4.*chmod"):
            drain(path)


def damage_in_the_middle(video: Video, path: Path) -> Path:
    return videos.corrupted(video, path)


def truncated_after_its_index(video: Video, path: Path) -> Path:
    return videos.truncated(video, path, index_first=True)


@pytest.mark.parametrize("make", [damage_in_the_middle, truncated_after_its_index])
def test_damage_stops_a_strict_source_after_the_frames_before_it(
    video: Video, tmp_path: Path, make: Callable[[Video, Path], Path]
) -> None:
    path = make(video, tmp_path / "clip.mp4")
    with pytest.raises(DecodeError, match=re.escape(str(path))) as caught:
        drain(path)
    assert 0 <= caught.value.frames < len(video.pts)
    assert "error" in caught.value.stderr


def damage_in_nearly_every_picture(video: Video, path: Path) -> Path:
    data = bytearray(video.path.read_bytes())
    start, index = data.index(b"mdat") + 4, data.rindex(b"moov") - 4
    stop = index if index > start else len(data)
    for place in range(start + (stop - start) // 20, stop, 20):
        data[place] ^= 0xFF
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "make", [damage_in_the_middle, damage_in_nearly_every_picture, truncated_after_its_index]
)
def test_damage_is_counted_by_a_lenient_source(
    video: Video, tmp_path: Path, make: Callable[[Video, Path], Path]
) -> None:
    path = make(video, tmp_path / "clip.mp4")
    with open_source(DecodeRequest(path, strict=False), capacity=400) as source:
        frames = source.frames.wait_until(10**12, timeout_s=60)
        assert 0 < frames <= len(video.pts)
        assert source.decode_errors > 0


def test_a_decoder_that_is_killed_is_a_decode_error(video: Video) -> None:
    with open_source(DecodeRequest(video.path), capacity=4) as source:
        source.frames.wait(0, timeout_s=60)
        os.kill(source.pid, signal.SIGKILL)
        with pytest.raises(DecodeError, match=re.escape(str(video.path))) as caught:
            read_to_the_end(source)
    assert caught.value.returncode == -signal.SIGKILL


@pytest.mark.parametrize("pruning", ["auto", "off"])
def test_a_decoder_that_goes_on_with_garbage_is_a_decode_error(
    video: Video, tmp_path: Path, pruning: str
) -> None:
    binary = tmp_path / "ffmpeg"
    real = f"'{find_ffmpeg()}'"
    spoilt = f'{{ {real} "$@" 2>/dev/null | head -c 400000; head -c 400000 /dev/urandom; }}'
    binary.write_text(f'#!/bin/sh\ncase "$*" in *pipe:1) {spoilt} ;; *) exec {real} "$@" ;; esac\n')
    binary.chmod(0o755)
    with pytest.raises(ProtocolError, match=re.escape(str(video.path))) as caught:
        drain(video.path, fps=Fraction(10), ffmpeg=binary, pruning=pruning)
    # Eight frames are whole. Pixels have no checksum: where the ninth ends no tenth begins.
    assert caught.value.frames == 9
    assert caught.value.after_ns == 800_000_000


def test_a_source_that_is_dropped_midway_leaves_no_process(video: Video) -> None:
    source = open_source(DecodeRequest(video.path), capacity=4)
    source.frames.wait(0, timeout_s=60)
    pid = source.pid
    del source
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_frames_outlive_the_source_that_delivered_them(video: Video) -> None:
    with open_source(DecodeRequest(video.path), capacity=4) as source:
        source.frames.wait(1, timeout_s=60)
        window = source.frames.window(0, 2)
    assert [videos.read_number(frame) for frame in np.asarray(window)] == [0, 1]


def test_a_setting_that_names_no_binary_is_an_error_and_not_another_binary(
    video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DecoderNotFound, match=r"ffmpeg setting.*/nowhere/ffmpeg.*pip install"):
        open_source(DecodeRequest(video.path, ffmpeg="/nowhere/ffmpeg"))
    monkeypatch.setenv("DSB_FFMPEG", "/nowhere/either")
    with pytest.raises(DecoderNotFound, match=r"DSB_FFMPEG.*/nowhere/either.*pip install"):
        open_source(DecodeRequest(video.path))


def test_without_any_ffmpeg_the_error_says_how_to_get_one(
    video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DSB_FFMPEG", raising=False)
    monkeypatch.setattr("dsb.stream.binary._bundled", lambda: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DecoderNotFound, match="pip install imageio-ffmpeg"):
        open_source(DecodeRequest(video.path))


def test_a_binary_that_is_not_ffmpeg_writes_no_frames(video: Video) -> None:
    with pytest.raises(DsbError, match=re.escape(str(video.path))):
        open_source(DecodeRequest(video.path, ffmpeg="/bin/true"))


@pytest.mark.parametrize("make", [missing, folder, text, noise, audio_only])
def test_describing_a_bad_file_is_the_same_kind_of_error(
    video: Video, tmp_path: Path, make: Callable[[Video, Path], Path]
) -> None:
    path = make(video, tmp_path / "clip.mp4")
    with pytest.raises(SourceError, match=re.escape(str(path))):
        probe(path)
