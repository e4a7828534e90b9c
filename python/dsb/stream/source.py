"""Opening a video: the checks that need no decoder, then the core's source."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Literal

from dsb._core import FrameSource, Pruning
from dsb.stream.ffmpeg import decode_argv, whole_start
from dsb.stream.pruning import prune
from dsb.stream.readable import check_readable


def open_source(
    path: str | os.PathLike[str],
    *,
    fps: Fraction | None = None,
    size: tuple[int, int] | None = None,
    capacity: int = 64,
    overflow: Literal["block", "drop-oldest"] = "block",
    strict: bool = True,
    start_s: float | None = None,
    hwaccel: str | None = None,
    threads: int | None = None,
    ffmpeg: str | os.PathLike[str] | None = None,
    pruning: Pruning | Literal["auto", "off"] | None = "auto",
) -> FrameSource:
    """Start to decode `path`, a file or a URL, into a ring of (H, W, 3) uint8 RGB frames.

    Frame times are stream time: seconds from the start of the file. A video whose sound starts
    first has nothing on screen at 0, so its first frame comes at a later tick: go by `pts_ns`, not
    by `id / fps`.

    Args:
        path: file or URL.
        fps: ticks per second, each shows the latest frame with `pts <= tick`; `None` delivers every
            frame.
        size: (width, height) in pixels; `None` for the size on screen.
        capacity: frames that the ring holds.
        overflow: whether the decoder waits for `release_before` or overwrites the oldest frame.
        strict: fail at the first damaged picture; otherwise damage is concealed and counted.
        start_s: stream time from which frames are wanted, see `decode_argv`; the ids of frames
            count from 0 all the same.
        hwaccel: name of a hardware decoder.
        threads: limit on decoding threads.
        ffmpeg: binary, see `dsb.stream.binary.find_ffmpeg`.
        pruning: `auto` leaves out packets that no tick needs, which changes no frame; `off` decodes
            all of them. What `dsb.stream.pruning.prune` has found for the same `fps` and
            `whole_start(start_s, fps)` may be given instead.

    Raises:
        SourceError: missing, a folder, unreadable, empty, not a video, or without a picture stream.
        DecoderNotFound: no ffmpeg.
        DecodeError: the decoder failed before the first frame.
    """
    check_readable(path)
    if pruning == "auto":
        begin = Fraction(0) if fps is None else Fraction(whole_start(start_s, fps))
        pruning = prune(path, fps, start_s=begin, ffmpeg=ffmpeg)

    prunes = isinstance(pruning, Pruning) and pruning.url is not None

    def argv(pruned_url: str | None = None) -> list[str]:
        return decode_argv(
            path,
            fps=fps,
            size=size,
            start_s=start_s,
            hwaccel=hwaccel,
            threads=threads,
            strict=strict,
            ffmpeg=ffmpeg,
            pruned_url=pruned_url,
            # Also for the full decode that takes over: both must deliver the same frames.
            on_whole_start=prunes,
        )

    pruned = None
    if isinstance(pruning, Pruning) and pruning.url is not None:
        pruned = (argv(pruning.url), pruning)
    return FrameSource(
        argv(),
        name=os.fspath(path),
        capacity=capacity,
        overflow=overflow,
        strict=strict,
        pruned=pruned,
    )
