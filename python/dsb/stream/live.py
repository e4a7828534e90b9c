"""Live sources: what `stream.source` may name, and how ffmpeg is told to read it.

A source with an end (a file, standard input, a recording behind an address) ends when its decoder does. The
others (RTSP, an endless HTTP stream, a camera) have none: ffmpeg reports a lost connection exactly as it reports
one that the other side closed, with status 0, so each end is taken for a loss and the connection is tried again.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from dsb._core import FrameSource
from dsb.config.address import STDIN, is_camera, is_url, without_password
from dsb.config.schema import StreamConfig
from dsb.stream.ffmpeg import decode_argv
from dsb.stream.probe import describe
from dsb.stream.readable import check_readable
from dsb.stream.request import DecodeRequest

_RTSP = re.compile(r"rtsps?://", re.IGNORECASE)
_HTTP = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class LiveInput:
    """How one live source is read."""

    #: Demuxer and protocol options of ffmpeg.
    options: dict[str, str | None]
    #: Its decoder's end is no end, so it is started again.
    endless: bool
    #: Pictures at the start of a connection that carry a wrong time.
    skip: int = 0


def live_input(request: DecodeRequest, stream: StreamConfig) -> LiveInput:
    """How to read a live source; an HTTP address is asked whether it is a recording.

    Raises:
        SourceError: a file that cannot be read, an HTTP address that cannot be reached.
    """
    source = os.fspath(request.source)
    microseconds = str(round(stream.stall_s * 1e6))
    if source == STDIN:
        return LiveInput(_brief(stream), endless=False)
    if is_camera(source):
        return LiveInput({}, endless=True)
    if _RTSP.match(source):
        options = {**_brief(stream), "timeout": microseconds}
        if stream.listen:
            # Without a limit ffmpeg 9 refuses to listen at all.
            options |= {"rtsp_flags": "listen", "listen_timeout": str(_whole(stream.reconnect_s))}
        # ffmpeg gives the first one time 0 and the others times before it, by as many as were reordered.
        return LiveInput(options, endless=True, skip=1)
    if is_url(source):
        options = {**_brief(stream), "rw_timeout": microseconds}
        if _HTTP.match(source) and describe(source, request.ffmpeg).duration_s is not None:
            # A recording has a place to go on from, so that a lost connection leaves no gap.
            again = {"reconnect": "1", "reconnect_delay_max": str(_whole(stream.reconnect_s))}
            return LiveInput({**options, **again, "re": None}, endless=False)
        return LiveInput(options, endless=True)
    check_readable(source)
    return LiveInput({"re": None}, endless=False)


def open_live(request: DecodeRequest, stream: StreamConfig, *, capacity: int) -> FrameSource:
    """Start to play a live source into a ring of (H, W, 3) uint8 RGB frames that drops the oldest.

    Stream time is 0 at the first frame and runs with the wall clock. A frame is the first that came in its
    interval of 1/fps seconds, with its own time; an interval without one has none.

    Args:
        request: what is decoded. Damage is counted and never ends the stream, whatever `strict` says.
        stream: how a lost connection is treated.
        capacity: frames that the ring holds.

    Raises:
        SourceError: it cannot be reached or gives no picture.
        DecoderNotFound: no ffmpeg.
        DecodeError: the decoder failed before the first frame.
        ValueError: the request has a `start_s`; a live source is played from where it is.
    """
    if request.start_s is not None:
        raise ValueError(f"a live source is played from where it is, not from {request.start_s} s")
    source = os.fspath(request.source)
    how = live_input(request, stream)
    argv = decode_argv(
        replace(request, strict=False), fill=False, skip=how.skip, input_options=how.options
    )
    return FrameSource(
        argv,
        name=source_name(source),
        capacity=capacity,
        overflow="drop-oldest",
        strict=False,
        stdin=source == STDIN,
        live=True,
        reconnect_s=stream.reconnect_s if how.endless else None,
    )


def source_name(source: str) -> str:
    """What messages and logs call a source; without the password that its address may hold."""
    return "standard input" if source == STDIN else without_password(source)


def _brief(stream: StreamConfig) -> dict[str, str | None]:
    """Without these ffmpeg looks at a stream for seconds before its first frame, above all to guess a
    nominal rate that nobody here needs.
    """
    return {"analyzeduration": str(round(stream.analyze_s * 1e6)), "fpsprobesize": "0"}


def _whole(seconds: float) -> int:
    return max(1, round(seconds))
