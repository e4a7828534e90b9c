"""Which frames of which source are wanted, and how they are decoded: one value for all who pass it on."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class DecodeRequest:
    """What a decoder is asked for.

    Raises:
        ValueError: a rate, a size or a number of threads that is not positive, or a start that is
            negative or endless.
    """

    source: str | os.PathLike[str]
    """A file, a URL (`rtsp://`, `http://`, ...), a camera (`/dev/video0`) or `-` for standard input."""
    fps: Fraction | None = None
    """Ticks per second of stream time on the grid `k / fps`, each of which shows the latest frame
    with `pts <= tick`; `None` delivers every frame of the video."""
    size: tuple[int, int] | None = None
    """(width, height) of the frames in pixels; `None` keeps the size on screen: rotated as the file
    says, with square pixels."""
    start_s: float | None = None
    """Stream second from which frames are wanted. Delivery starts earlier, at the last place where
    decoding can start, so that the frame on screen at `start_s` is always among them; without a seek
    that can be trusted (`dsb.stream.ffmpeg.can_seek`) it starts at 0."""
    hwaccel: str | None = None
    """Name of a hardware decoder (`cuda`, `vaapi`, ...); `None` decodes in software."""
    threads: int | None = None
    """Limit for the decoder and the filters; `None` lets ffmpeg choose."""
    strict: bool = True
    """Stop at the first damaged picture; otherwise damage is concealed and counted."""
    ffmpeg: str | os.PathLike[str] | None = None
    """Binary, see `dsb.stream.binary.find_ffmpeg`."""

    def __post_init__(self) -> None:
        if self.fps is not None and self.fps <= 0:
            raise ValueError(f"fps must be positive, got {self.fps}")
        if self.size is not None and min(self.size) <= 0:
            raise ValueError(f"size must be positive both ways, got {self.size}")
        if self.start_s is not None and not 0 <= self.start_s < math.inf:
            raise ValueError(f"start_s must be a number of seconds from 0 on, got {self.start_s}")
        if self.threads is not None and self.threads <= 0:
            raise ValueError(f"threads must be positive, got {self.threads}")

    @property
    def whole_start(self) -> int:
        """The last whole second up to `start_s` that is a tick: exact in every time base."""
        if self.start_s is None or self.fps is None:
            return 0
        return int(self.start_s // self.fps.denominator) * self.fps.denominator
