"""The size at which the frames of a session are delivered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dsb.config.schema import VideoConfig
from dsb.errors import ConfigError
from dsb.models.backend import Backend
from dsb.stream.probe import describe


def frame_size(
    video: Path | str, config: VideoConfig, backends: Mapping[str, Backend]
) -> tuple[int, int]:
    """(width, height) in pixels: as configured, else what the models make of the video's own size.

    Raises:
        ConfigError: only one side is configured, or S1 and S2 want different sizes; frames are
            decoded once, so there is one size.
        SourceError: the video cannot be read.
    """
    if config.width is not None and config.height is not None:
        return config.width, config.height
    if config.width is not None or config.height is not None:
        raise ConfigError("video.width and video.height go together; set both or neither")
    own = describe(video, config.ffmpeg).display_size
    wanted = {name: backend.frame_size(own) for name, backend in backends.items()}
    if len(set(wanted.values())) > 1:
        sizes = ", ".join(f"{name} {w}x{h}" for name, (w, h) in wanted.items())
        raise ConfigError(
            f"{video}: the models want frames of different sizes ({sizes}); set video.width and "
            "video.height to one that both accept"
        )
    return next(iter(wanted.values()))
