"""The size at which the frames of a session are delivered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from dsb.config.schema import VideoConfig
from dsb.errors import ConfigError
from dsb.models.backend import Backend
from dsb.stream.probe import describe

Size = tuple[int, int]


def frame_size(video: Path | str, config: VideoConfig, backends: Mapping[str, Backend]) -> Size:
    """(width, height) in pixels: as configured, else what the models make of the video's own size.

    Raises:
        ConfigError: only one side is configured, or S1 and S2 want different sizes and neither takes the other's;
            frames are decoded once, so there is one size.
        SourceError: the video cannot be read.
    """
    if config.width is not None and config.height is not None:
        return config.width, config.height
    if config.width is not None or config.height is not None:
        raise ConfigError("video.width and video.height go together; set both or neither")
    own = describe(video, config.ffmpeg).display_size
    wanted = {name: backend.frame_size(own) for name, backend in backends.items()}
    common = common_size(own, list(wanted.values()), backends)
    if common is None:
        sizes = ", ".join(f"{name} {w}x{h}" for name, (w, h) in wanted.items())
        raise ConfigError(
            f"{video}: the models want frames of different sizes ({sizes}), and none takes those of the others; set "
            "video.width and video.height to a size that all of them accept"
        )
    return common


def common_size(own: Size, wanted: list[Size], backends: Mapping[str, Backend]) -> Size | None:
    """The size among `wanted` that every model takes, for a video of the size `own`; `None` if there is none.

    Of several, the one that keeps the proportions of the video best, and the largest of those.
    """

    def bend(size: Size) -> float:
        return abs(math.log(size[0] * own[1] / (size[1] * own[0])))

    taken = [size for size in wanted if all(each.takes(size) for each in backends.values())]
    return min(taken, key=lambda size: (bend(size), -size[0] * size[1]), default=None)
