"""The ffmpeg command line that turns a video into frames with exact times on one pipe.

Python owns the filter graph, the Rust core owns the process. What each choice is for:

* `fps=F:round=up` samples causally: a tick shows the latest frame with `pts <= tick`. The filter's
  default (`near`) shows a frame up to half a sampling interval before it happens.
* `fps` stands before `scale`, so that only sampled frames are scaled.
* `-copyts -start_at_zero` counts time from the start of the file, also after a seek.
* NUT carries the exact timestamp of every frame in band; rawvideo has none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsb.config import address
from dsb.config.address import STDIN
from dsb.stream.binary import find_ffmpeg
from dsb.stream.request import DecodeRequest

#: Closest to PIL's bicubic: 52 dB instead of 36 dB for plain `bicubic` at 1280x720 -> 448x448.
SCALE_FLAGS = "bicubic+accurate_rnd+full_chroma_int"

#: Indexes are ordered by decoding time, which is earlier than the time on screen: a seek to this
#: much before its target lands on a key frame that is shown before it.
SEEK_MARGIN_S = 1.0

#: Demuxer options of a pruned file.
_PRUNED: Mapping[str, str | None] = {"protocol_whitelist": "concat,subfile,file"}

#: Ticks per second of the timestamps when every frame is delivered. Left alone, ffmpeg rounds them
#: to the nominal frame rate, which shows frames of uneven videos too early. Of the numbers that a
#: 32-bit time base can hold, this is a multiple of nearly all that containers use (1000, 12800,
#: 15360, 24000, 30000, 60000, 90000, 1000000, ...).
ALL_FRAMES_TIMESCALE = 576_000_000


def decode_argv(
    request: DecodeRequest,
    *,
    fill: bool = True,
    skip: int = 0,
    input_options: Mapping[str, str | None] | None = None,
    pruned_url: str | None = None,
    on_whole_start: bool = False,
) -> list[str]:
    """Arguments of a decoder that writes rgb24 frames in NUT to its standard output.

    Args:
        request: what is decoded.
        fill: a tick at which no new frame is there shows the last one again. Otherwise every interval
            `[k / fps, (k + 1) / fps)` delivers its first frame with its own time, or none.
        skip: pictures to leave out at the start; time then counts from the first that is left.
        input_options: further options for reading the source.
        pruned_url: what to open instead of the source, see `dsb.stream.pruning`. It holds what
            `request.fps` needs from `request.whole_start` on.
        on_whole_start: start delivery exactly there. Only for a video that has begun by then:
            otherwise its first frame would be shown too early.

    Raises:
        DecoderNotFound: no ffmpeg.
    """
    # Imported late: only decoding needs it, `dsb --help` does not.
    import ffmpeg as graph

    binary = find_ffmpeg(request.ffmpeg)
    if pruned_url is None:
        name, options = input_spec(request.source)
        options |= _seek(request)
    else:
        name, options = pruned_url, dict(_PRUNED)
    options |= {"copyts": None, "start_at_zero": None, **(input_options or {}), **_means(request)}
    # `V` leaves out cover art, which `v` would take for a video of one frame.
    picture = graph.input(name, **options)["V:0"]
    if skip:
        picture = picture.filter("select", f"gte(n,{skip})").filter("setpts", "PTS-STARTPTS")
    picture = _sampled(picture, request, fill=fill, on_whole_start=on_whole_start)
    width, height = request.size or ("max(1,round(iw*sar))", "ih")
    picture = picture.filter("scale", w=width, h=height, flags=SCALE_FLAGS).filter("setsar", "1")
    on_grid = request.fps is not None and fill
    timing = {} if on_grid else {"enc_time_base": f"1:{ALL_FRAMES_TIMESCALE}"}
    output = graph.output(
        picture,
        "pipe:1",
        format="nut",
        vcodec="rawvideo",
        pix_fmt="rgb24",
        fps_mode="passthrough",
        # Without it the muxer keeps an index entry per frame until the end: memory grows on live
        # sources.
        write_index=0,
        flush_packets=1,
        **timing,
    )
    command: list[str] = output.compile(cmd=[os.fspath(binary), *_global_options(request)])
    return command


def input_spec(source: str | os.PathLike[str]) -> tuple[str, dict[str, str | None]]:
    """How ffmpeg should name `source`, and the demuxer options that it needs.

    Local files get the `file:` prefix, without which a leading dash would be an option and a colon
    a protocol; they may not pull in anything from the network, as a playlist could.
    """
    if source == STDIN:
        return "pipe:0", {}
    if address.is_camera(os.fspath(source)):
        return os.fspath(source), {"f": "v4l2"}
    if is_url(source):
        url = os.fspath(source)
        return url, {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp://") else {}
    return f"file:{os.fspath(source)}", {"protocol_whitelist": "file,crypto,data"}


def can_seek(source: str | os.PathLike[str]) -> bool:
    """Whether a seek in `source` lands where it should: in MP4, MOV and Matroska files.

    In MPEG-TS it overshoots by up to a second and starts with pictures that miss their references.
    """
    if is_url(source):
        return False
    try:
        with Path(source).open("rb") as file:
            head = file.read(8)
    except OSError:
        return False
    return head[4:] in (b"ftyp", b"moov", b"wide", b"mdat") or head[:4] == b"\x1aE\xdf\xa3"


def is_url(source: str | os.PathLike[str]) -> bool:
    """Whether `source` is a network address and not a file."""
    return not isinstance(source, Path) and address.is_url(os.fspath(source))


def _seek(request: DecodeRequest) -> dict[str, str | None]:
    start_s = request.start_s or 0.0
    if start_s <= SEEK_MARGIN_S or not can_seek(request.source):
        return {}
    # Decoded and delivered from the key frame on: the frame on screen may have stood there for long.
    return {"ss": f"{start_s - SEEK_MARGIN_S:.6f}", "noaccurate_seek": None}


def _means(request: DecodeRequest) -> dict[str, str]:
    """With what is decoded."""
    means = {"hwaccel": request.hwaccel, "threads": request.threads}
    return {name: str(value) for name, value in means.items() if value is not None}


def _sampled(picture: Any, request: DecodeRequest, *, fill: bool, on_whole_start: bool) -> Any:
    if request.fps is None:
        return picture
    rate = f"{request.fps.numerator}/{request.fps.denominator}"
    if not fill:
        first = f"isnan(prev_selected_t)+gt(floor(t*{rate}),floor(prev_selected_t*{rate}))"
        return picture.filter("select", first)
    sampling = {"fps": rate, "round": "up"}
    if on_whole_start and request.whole_start:
        sampling["start_time"] = str(request.whole_start)
    return picture.filter("fps", **sampling)


def _global_options(request: DecodeRequest) -> list[str]:
    options = ["-hide_banner", "-nostdin", "-loglevel", "level+warning"]
    # Otherwise ffmpeg gives up where two thirds of the pictures are damaged.
    options += ["-xerror"] if request.strict else ["-max_error_rate", "1"]
    if request.threads is not None:
        options += ["-filter_complex_threads", str(request.threads)]
    return options
