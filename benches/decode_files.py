"""The files of the decode bench: moving, slightly noisy pictures that carry their frame number.

The number is painted as a strip of black and white bars along the top, one bar per bit, and survives
lossy codecs and scaling; so the bench can say of every delivered frame which one it is. The rate is
30000/1001 frames per second, as of most recordings: no tick but the first falls onto a frame.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dsb.stream.binary import ffmpeg_build

BITS = 12
RATE = Fraction(30000, 1001)

_H264 = ("-c:v", "libx264", "-preset", "medium", "-bf", "3", "-b-pyramid", "normal")
_HEVC = ("-c:v", "libx265", "-preset", "fast", "-x265-params", "log-level=error", "-tag:v", "hvc1")
_AV1 = ("-c:v", "libsvtav1", "-preset", "8", "-crf", "38", "-g", "150")
_VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "6", "-b:v", "2500k")


@dataclass(frozen=True)
class Recipe:
    """How one file is made."""

    name: str
    codec: Sequence[str]
    size: tuple[int, int]
    """(width, height) in pixels."""
    duration_s: int
    suffix: str = ".mp4"

    @property
    def frames(self) -> int:
        """Frames in the file, numbered from 0."""
        return int(self.duration_s * RATE)

    def on_screen(self, t_s: Fraction) -> int:
        """The latest frame with `pts <= t_s`."""
        return min(int(t_s * RATE), self.frames - 1)


FULL = (
    Recipe("H.264 720p", _H264, (1280, 720), 60),
    Recipe("H.264 1080p", _H264, (1920, 1080), 30),
    Recipe("HEVC 720p", _HEVC, (1280, 720), 60),
    Recipe("AV1 720p", _AV1, (1280, 720), 60),
    Recipe("VP9 720p", _VP9, (1280, 720), 60, ".webm"),
)
QUICK = (
    Recipe("H.264 180p", _H264, (320, 180), 4),
    Recipe("HEVC 180p", _HEVC, (320, 180), 2),
)


def make(recipe: Recipe, folder: Path, ffmpeg: Path) -> Path:
    """The file of `recipe`, encoded if `folder` has none.

    Raises `subprocess.CalledProcessError` if this ffmpeg cannot, for want of an encoder.
    """
    width, height = recipe.size
    source = f"testsrc2=size={width}x{height}:rate={RATE}"
    command = [
        *("-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", source),
        *("-frames:v", str(recipe.frames), "-vf", f"noise=alls=4:allf=t,{_bars()}"),
        *("-pix_fmt", "yuv420p", *recipe.codec),
    ]
    # Another recipe, or another encoder, is another file.
    build = ffmpeg_build(ffmpeg).version
    key = hashlib.sha256(" ".join([build, *command]).encode()).hexdigest()[:8]
    path = folder / f"{recipe.name.replace(' ', '-').lower()}-{key}{recipe.suffix}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"partial-{path.name}")
        subprocess.run([ffmpeg, *command, partial], check=True, capture_output=True)
        partial.replace(path)
    return path


def _bars() -> str:
    bars = [
        f"drawbox=x=iw*{bit}/{BITS}:y=0:w=iw/{BITS}:h=ih/8:color=white:t=fill"
        f":enable='bitand(n,{1 << bit})'"
        for bit in range(BITS)
    ]
    return ",".join(["drawbox=x=0:y=0:w=iw:h=ih/8:color=black:t=fill", *bars])


def read_number(frame: Any) -> int | None:
    """The number in an RGB frame (H, W, 3) uint8 of any size; `None` if it cannot be read."""
    height, width, _ = frame.shape
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    levels = frame[height // 32 : 3 * height // 32].mean(axis=(0, 2))[centres]
    if np.any(np.abs(levels - 127.5) < 30):
        return None
    return int(((levels > 127.5) << np.arange(BITS)).sum())
