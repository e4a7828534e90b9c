"""Opening a video: the checks that need no decoder, then the core's source."""

from __future__ import annotations

import os
from typing import Literal

from dsb._core import FrameSource, Pruning
from dsb.stream.ffmpeg import decode_argv
from dsb.stream.pruning import prune
from dsb.stream.readable import check_readable
from dsb.stream.request import DecodeRequest


def open_source(
    request: DecodeRequest,
    *,
    capacity: int = 64,
    overflow: Literal["block", "drop-oldest"] = "block",
    pruning: Pruning | Literal["auto", "off"] | None = "auto",
) -> FrameSource:
    """Start to decode a file or a URL into a ring of (H, W, 3) uint8 RGB frames.

    Frame times are stream time: seconds from the start of the file. A video whose sound starts
    first has nothing on screen at 0, so its first frame comes at a later tick: go by `pts_ns`, not
    by `id / fps`. The ids of frames count from 0, also after a seek.

    Args:
        request: what is decoded.
        capacity: frames that the ring holds.
        overflow: whether the decoder waits for `release_before` or overwrites the oldest frame.
        pruning: `auto` leaves out packets that no tick needs, which changes no frame; `off` decodes
            all of them. What `dsb.stream.pruning.prune` has found for the same request may be given
            instead.

    Raises:
        SourceError: missing, a folder, unreadable, empty, not a video, or without a picture stream.
        DecoderNotFound: no ffmpeg.
        DecodeError: the decoder failed before the first frame.
    """
    check_readable(request.source)
    if pruning == "auto":
        pruning = prune(request)
    pruned, argv = None, decode_argv(request)
    if isinstance(pruning, Pruning) and pruning.url is not None:
        # Also for the full decode that takes over: both must deliver the same frames.
        argv = decode_argv(request, on_whole_start=True)
        pruned = (decode_argv(request, pruned_url=pruning.url, on_whole_start=True), pruning)
    return FrameSource(
        argv,
        name=os.fspath(request.source),
        capacity=capacity,
        overflow=overflow,
        strict=request.strict,
        pruned=pruned,
    )
