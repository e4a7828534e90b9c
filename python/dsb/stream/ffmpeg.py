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
from fractions import Fraction
from pathlib import Path

from dsb.config import address
from dsb.config.address import STDIN
from dsb.stream.binary import FfmpegBuild, ffmpeg_build, find_ffmpeg

__all__ = ["FfmpegBuild", "decode_argv", "ffmpeg_build", "find_ffmpeg", "input_spec", "is_url"]

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
    source: str | os.PathLike[str],
    *,
    fps: Fraction | None = None,
    size: tuple[int, int] | None = None,
    start_s: float | None = None,
    hwaccel: str | None = None,
    threads: int | None = None,
    strict: bool = True,
    fill: bool = True,
    skip: int = 0,
    input_options: Mapping[str, str | None] | None = None,
    ffmpeg: str | os.PathLike[str] | None = None,
    pruned_url: str | None = None,
    on_whole_start: bool = False,
) -> list[str]:
    """Arguments of a decoder that writes rgb24 frames in NUT to its standard output.

    Args:
        source: a file, a URL (`rtsp://`, `http://`, ...), a camera (`/dev/video0`) or `-` for standard input.
        fps: ticks per second on the grid `k / fps`; `None` delivers every frame of the video.
        size: (width, height) of the frames in pixels; `None` keeps the size on screen: rotated as
            the file says, with square pixels.
        start_s: stream time from which frames are wanted. Delivery starts earlier, at the last
            place where decoding can start, so that the frame on screen at `start_s` is always
            among them; without a seek that can be trusted (`can_seek`) it starts at 0.
        hwaccel: name of a hardware decoder (`cuda`, `vaapi`, ...).
        threads: limit for the decoder and the filters; `None` lets ffmpeg choose.
        strict: stop at the first damaged picture instead of concealing it.
        fill: a tick at which no new frame is there shows the last one again. Otherwise every interval
            `[k / fps, (k + 1) / fps)` delivers its first frame with its own time, or none.
        skip: pictures to leave out at the start; time then counts from the first that is left.
        input_options: further options for reading `source`.
        ffmpeg: binary, see `find_ffmpeg`.
        pruned_url: what to open instead of `source`, see `dsb.stream.pruning`. It holds what
            `fps` needs from `whole_start(start_s, fps)` on.
        on_whole_start: start delivery exactly there. Only for a video that has begun by then:
            otherwise its first frame would be shown too early.

    Raises:
        DecoderNotFound: no ffmpeg.
        ValueError: a non-positive rate, size or number of threads.
    """
    _check(fps, size, start_s, threads)
    # Imported late: only decoding needs it, `dsb --help` does not.
    import ffmpeg as graph

    binary = find_ffmpeg(ffmpeg)
    name, options = input_spec(source) if pruned_url is None else (pruned_url, dict(_PRUNED))
    options |= {"copyts": None, "start_at_zero": None, **(input_options or {})}
    if pruned_url is None and start_s is not None and start_s > SEEK_MARGIN_S and can_seek(source):
        # Decoded and delivered from the key frame on: the frame on screen may have stood there for
        # long.
        options |= {"ss": f"{start_s - SEEK_MARGIN_S:.6f}", "noaccurate_seek": None}
    if hwaccel is not None:
        options["hwaccel"] = hwaccel
    if threads is not None:
        options["threads"] = str(threads)
    # `V` leaves out cover art, which `v` would take for a video of one frame.
    picture = graph.input(name, **options)["V:0"]
    if skip:
        picture = picture.filter("select", f"gte(n,{skip})").filter("setpts", "PTS-STARTPTS")
    on_grid = fps is not None and fill
    if fps is not None:
        rate = f"{fps.numerator}/{fps.denominator}"
        sampling = {"fps": rate, "round": "up"}
        if on_whole_start and whole_start(start_s, fps):
            sampling["start_time"] = str(whole_start(start_s, fps))
        picture = (
            picture.filter("fps", **sampling)
            if fill
            else picture.filter("select", _first_of_each_interval(rate))
        )
    width, height = size if size is not None else ("max(1,round(iw*sar))", "ih")
    picture = picture.filter("scale", w=width, h=height, flags=SCALE_FLAGS).filter("setsar", "1")
    timing = {"enc_time_base": f"1:{ALL_FRAMES_TIMESCALE}"} if not on_grid else {}
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
    command: list[str] = output.compile(cmd=[os.fspath(binary), *_global_options(threads, strict)])
    return command


def whole_start(start_s: float | None, fps: Fraction) -> int:
    """The last whole second up to `start_s` that is a tick of `fps`: exact in every time base."""
    return 0 if start_s is None else int(start_s // fps.denominator) * fps.denominator


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


def _first_of_each_interval(rate: str) -> str:
    return f"isnan(prev_selected_t)+gt(floor(t*{rate}),floor(prev_selected_t*{rate}))"


def _global_options(threads: int | None, strict: bool) -> list[str]:
    options = ["-hide_banner", "-nostdin", "-loglevel", "level+warning"]
    # Otherwise ffmpeg gives up where two thirds of the pictures are damaged.
    options += ["-xerror"] if strict else ["-max_error_rate", "1"]
    if threads is not None:
        options += ["-filter_complex_threads", str(threads)]
    return options


def _check(
    fps: Fraction | None,
    size: tuple[int, int] | None,
    start_s: float | None,
    threads: int | None,
) -> None:
    given: Mapping[str, object] = {"fps": fps, "size": size, "start_s": start_s, "threads": threads}
    wrong = {
        "fps": fps is not None and fps <= 0,
        "size": size is not None and min(size) <= 0,
        "start_s": start_s is not None and not 0 <= start_s < float("inf"),
        "threads": threads is not None and threads <= 0,
    }
    for field, bad in wrong.items():
        if bad:
            raise ValueError(f"{field} must be positive, got {given[field]}")
