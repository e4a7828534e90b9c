"""What a file holds, read from what `ffmpeg -i` reports.

imageio-ffmpeg brings no ffprobe, so this parses the stream summary; only its long-standing fields
are used.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from dsb.errors import SourceError
from dsb.stream.binary import find_ffmpeg
from dsb.stream.ffmpeg import input_spec, is_url
from dsb.stream.readable import check_readable

_DURATION = re.compile(
    r"^  Duration: (?:(\d+):(\d\d):(\d\d\.\d+)|N/A)(?:, start: (-?[\d.]+))?", re.MULTILINE
)
#: Members of a group, as a picture track and its time code are, stand further in.
_STREAM = re.compile(r"^ {2,4}Stream #0:\d+\S*: (Video|Audio): (.*)$", re.MULTILINE)
_SIZE = re.compile(r"\b(\d{1,5})x(\d{1,5})\b(?: \[SAR (\d+):(\d+) DAR \d+:\d+\])?")
_RATE = re.compile(r"([\d.]+)(k?) (?:fps|tbr)\b")
_ROTATION = re.compile(r"^ +[Dd]isplay ?[Mm]atrix: rotation of (-?[\d.]+) degrees", re.MULTILINE)


@dataclass(frozen=True)
class VideoInfo:
    """The first picture stream of a file."""

    duration_s: float | None
    """Length as the container claims it, to 10 ms, `None` if it does not; a hint, not a fact:
    Matroska counts from the zero of the file's own clock, and damaged files claim anything."""
    start_s: float
    """Time of the file's own clock at stream time 0."""
    width: int
    """Coded pixels per row, before rotation and squaring."""
    height: int
    """Coded rows."""
    codec: str
    """Codec name as ffmpeg has it: `h264`, `hevc`, `vp9`, `av1`, ..."""
    fps: Fraction | None
    """Nominal frame rate; meaningless for videos of varying rate."""
    rotation: int
    """Counter-clockwise turn in degrees that the file asks for: -180 < rotation <= 180."""
    sample_aspect: Fraction
    """Width of a coded pixel over its height."""
    has_audio: bool
    """Whether there is sound."""

    @property
    def display_size(self) -> tuple[int, int]:
        """(width, height) in square pixels after rotation: what decoding delivers by default."""
        if self.rotation % 180:
            # Rotation comes first, so the pixel's shape turns too and the rows stay as they are.
            return max(1, round(self.height / self.sample_aspect)), self.width
        return max(1, round(self.width * self.sample_aspect)), self.height


def probe(
    path: str | os.PathLike[str],
    *,
    ffmpeg: str | os.PathLike[str] | None = None,
    timeout_s: float = 60.0,
) -> VideoInfo:
    """Describe a video without decoding it.

    Raises:
        SourceError: missing, unreadable, not a video, or without a picture stream.
        DecoderNotFound: no ffmpeg.
    """
    check_readable(path)
    name, options = input_spec(path)
    flags = [part for key, value in options.items() for part in (f"-{key}", value or "")]
    if is_url(path):
        # An endless stream would be looked at for five seconds.
        flags += ["-analyzeduration", "1000000", "-fpsprobesize", "0"]
    command = [str(find_ffmpeg(ffmpeg)), "-hide_banner", "-nostdin", *flags, "-i", name]
    try:
        # Exits with 1 because no output is named: the report on standard error is what counts.
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(
            f"{os.fspath(path)}: no answer from ffmpeg within {timeout_s:g} s; is the source alive?"
        ) from error
    # A file name can hold anything, even a line that looks like a stream.
    report = done.stderr.decode(errors="replace").replace(name, "SOURCE")
    return parse_report(report, os.fspath(path))


def describe(
    path: str | os.PathLike[str], ffmpeg: str | os.PathLike[str] | None = None
) -> VideoInfo:
    """`probe`, once per state of a file. Raises `SourceError` and `DecoderNotFound`."""
    binary = None if ffmpeg is None else os.fspath(ffmpeg)
    return _described(os.fspath(path), binary, state_of(path))


@lru_cache(maxsize=256)
def _described(path: str, ffmpeg: str | None, _state: tuple[int, ...]) -> VideoInfo:
    return probe(path, ffmpeg=ffmpeg)


def state_of(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Numbers that change when a file does; none for what is no file that can be read."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def parse_report(report: str, name: str) -> VideoInfo:
    """Read ffmpeg's summary of one input; `name` is for error messages.

    Raises:
        SourceError: the report describes no picture stream.
    """
    streams = _STREAM.findall(report)
    if not streams:
        last = report.strip().splitlines()[-1:] or ["no message"]
        raise SourceError(
            f"{name}: not a video that ffmpeg understands ({last[0].strip()}); play it to see "
            "whether it is intact, and copy or download it again if not"
        )
    pictures = [text for kind, text in streams if kind == "Video" and "(attached pic)" not in text]
    if not pictures:
        raise SourceError(f"{name}: has no video stream, only sound; give a file with pictures")
    picture = pictures[0]
    size = _SIZE.search(picture)
    if size is None:
        raise SourceError(f"{name}: its video stream has no picture size; the file is damaged")
    rotation = _ROTATION.search(report)
    duration_s, start_s = _times(report)
    return VideoInfo(
        duration_s=duration_s,
        start_s=start_s,
        width=int(size[1]),
        height=int(size[2]),
        codec=re.split(r"[ ,(]", picture, maxsplit=1)[0],
        fps=_frame_rate(picture),
        rotation=_turn(float(rotation[1])) if rotation else 0,
        sample_aspect=Fraction(int(size[3]), int(size[4]))
        if size[3] not in (None, "0")
        else Fraction(1),
        has_audio=any(kind == "Audio" for kind, _ in streams),
    )


def _times(report: str) -> tuple[float | None, float]:
    """Duration and start in seconds."""
    line = _DURATION.search(report)
    if line is None:
        return None, 0.0
    hours, minutes, seconds, start = line.groups()
    duration_s = None if hours is None else int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return duration_s, float(start or 0.0)


def _frame_rate(picture: str) -> Fraction | None:
    """The nominal rate; ffmpeg prints two decimals, so rates of the NTSC family are restored."""
    found = _RATE.search(picture)
    if found is None:
        return None
    rate = Fraction(found[1]) * (1000 if found[2] else 1)
    ntsc = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    return ntsc if rate.denominator > 1 and abs(rate - ntsc) < Fraction(1, 150) else rate


def _turn(degrees: float) -> int:
    """Whole degrees in (-180, 180]."""
    turned = round(degrees) % 360
    return turned - 360 if turned > 180 else turned
