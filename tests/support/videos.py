"""Small videos, made when a test needs them, whose pixels carry the number of each frame.

A frame is ten vertical bars, 16 pixels wide: bar b is white if bit b of the frame number is 1. That
survives lossy codecs, scaling and colour conversion, so a test can read which frame it was given.
The times are set by arithmetic here and never read back from a decoder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from children import run
from dsb.stream.binary import ffmpeg_build, find_ffmpeg

BITS = 10
WIDTH, HEIGHT = 16 * BITS, 96
#: Ticks per second in which frame times are set; every time used here is a whole number of them.
TIMESCALE = 90_000


def decoders() -> list[str]:
    """The bundled ffmpeg and, if there is another one, the system's."""
    own, system = str(find_ffmpeg()), shutil.which("ffmpeg")
    return [own] if system is None or system == own else [own, system]


@dataclass(frozen=True)
class Video:
    """A file and when each of its frames is on screen."""

    path: Path
    pts: tuple[Fraction, ...]
    """Time at which frame n appears, in seconds from the start of the file."""

    def on_screen(self, t: Fraction) -> int | None:
        """The latest frame with `pts <= t`, searched the slow way; `None` before the first."""
        shown = [n for n, pts in enumerate(self.pts) if pts <= t]
        return shown[-1] if shown else None


def paint(number: int) -> NDArray[np.uint8]:
    """Grey picture (H, W) uint8 of frame `number`."""
    bits = (number >> np.arange(BITS)) & 1
    # 40..215 keeps clear of the limits of studio range.
    row = np.repeat(np.where(bits == 1, 215, 40), WIDTH // BITS).astype(np.uint8)
    return np.broadcast_to(row, (HEIGHT, WIDTH))


def read_number(frame: NDArray[np.uint8]) -> int:
    """The number that is painted into an RGB frame (H, W, 3) uint8 of any size."""
    height, width, _ = frame.shape
    assert width >= 4 * BITS, f"a bar of {width / BITS} pixels is too narrow to be read"
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    strip = frame[height // 4 : 3 * height // 4].mean(axis=(0, 2))
    levels = np.array([strip[c - 2 : c + 2].mean() for c in centres])
    assert np.all(np.abs(levels - 127.5) > 30), f"no frame number in these pixels: {levels}"
    return int(((levels > 127.5) << np.arange(BITS)).sum())


def encode(
    path: Path,
    ticks: Sequence[int],
    *,
    codec: Sequence[str] = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "30"),
    inputs: Sequence[str] = (),
    muxer: Sequence[str] = (),
    picture: str = "null",
) -> None:
    """Write a video whose frame n appears at `ticks[n] / TIMESCALE` seconds.

    `picture` is a filter for the frames; the options of `codec` come after the default pixel
    format.
    """
    pictures = f"{list(inputs).count('-i')}:v"
    command = [
        str(find_ffmpeg()), "-hide_banner", "-loglevel", "error", "-y", *inputs,
        "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", "30", "-i", "pipe:0",
        "-filter_complex", f"[{pictures}]{picture},settb=1/{TIMESCALE},setpts={_lookup(ticks)}[v]",
        "-map", "[v]", "-fps_mode", "passthrough", "-enc_time_base", f"1:{TIMESCALE}",
        "-pix_fmt", "yuv420p", *codec, *muxer, f"file:{path}",
    ]  # fmt: skip
    pixels = b"".join(paint(n).tobytes() for n in range(len(ticks)))
    done = run(command, input=pixels)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def _lookup(ticks: Sequence[int]) -> str:
    """An ffmpeg expression for `ticks[N]`, a balanced tree: its parser refuses deep ones."""
    terms = [f"eq(N\\,{n})*{tick}" for n, tick in enumerate(ticks)]
    while len(terms) > 1:
        terms = [f"({'+'.join(terms[i : i + 2])})" for i in range(0, len(terms), 2)]
    return terms[0]


def _made(path: Path, ticks: Sequence[int], offset: int = 0, **how: Sequence[str]) -> Video:
    encode(path, ticks, **how)
    return Video(path, tuple(Fraction(t + offset, TIMESCALE) for t in ticks))


def constant(folder: Path, frames: int = 150) -> Video:
    """30 fps, no B-frames."""
    return _made(
        folder / "constant.mp4",
        [3000 * n for n in range(frames)],
        codec=("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"),
        muxer=("-video_track_timescale", str(TIMESCALE)),
    )


def variable(folder: Path) -> Video:
    """Uneven gaps with a picture that stands still for 1.7 s, as in a screen recording."""
    ticks = [3000 * n + 450 * (n * 7 % 5) + (153_000 if n >= 70 else 0) for n in range(120)]
    return _made(folder / "variable.mp4", ticks, muxer=("-video_track_timescale", str(TIMESCALE)))


def b_frames(folder: Path) -> Video:
    """25 fps with pyramids of B-frames: decode order is far from display order."""
    return _made(
        folder / "b_frames.mp4",
        [3600 * n for n in range(130)],
        codec=("-c:v", "libx264", "-preset", "medium", "-bf", "7", "-b_strategy", "0"),
        muxer=("-video_track_timescale", str(TIMESCALE)),
    )


def late_start(folder: Path) -> Video:
    """A recording whose clock starts at 7.48 s: stream time counts from its first frame."""
    return _made(
        folder / "late_start.mkv",
        [3600 * n for n in range(110)],
        muxer=("-output_ts_offset", "7.48"),
    )


def transport_stream(folder: Path) -> Video:
    """MPEG-TS, whose clock starts at 1.4 s or later, with B-frames."""
    return _made(folder / "transport.ts", [3600 * n for n in range(110)])


def ntsc(folder: Path) -> Video:
    """30000/1001 fps: no tick but the first falls onto a frame."""
    return _made(
        folder / "ntsc.mp4",
        [3003 * n for n in range(140)],
        muxer=("-video_track_timescale", str(TIMESCALE)),
    )


def audio_first(folder: Path) -> Video:
    """Sound from 0 s, pictures from 0.72 s: before that nothing is on screen."""
    offset = 64_800
    return _made(
        folder / "audio_first.mkv",
        [offset + 3600 * n for n in range(110)],
        inputs=("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=8000:duration=5"),
        muxer=("-map", "0:a", "-c:a", "pcm_s16le"),
    )


#: Every kind of timing that a sampled frame must be right for.
TIMINGS: dict[str, Callable[[Path], Video]] = {
    make.__name__: make
    for make in (constant, variable, b_frames, late_start, transport_stream, ntsc, audio_first)
}


def rotated(video: Video, path: Path, degrees: int = 90) -> Path:
    """`video` with the note that it must be turned counter-clockwise."""
    if ffmpeg_build(find_ffmpeg()).version.startswith("5."):
        turn = ("-i", f"file:{video.path}", "-metadata:s:v:0", f"rotate={-degrees % 360}")
    else:
        turn = ("-display_rotation", str(degrees), "-i", f"file:{video.path}")
    _ffmpeg(*turn, "-c", "copy", f"file:{path}")
    return path


def cut(video: Video, path: Path, *, start_s: float) -> Path:
    """`video` from `start_s` on without encoding it again: what was cut off is hidden, not gone."""
    _ffmpeg("-ss", str(start_s), "-i", f"file:{video.path}", "-c", "copy", f"file:{path}")
    return path


def audio_only(path: Path) -> Path:
    """A file with sound and no picture."""
    _ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", f"file:{path}")
    return path


def no_frames(video: Video, path: Path) -> Path:
    """A well-formed file that announces a video track and ends before its first frame."""
    fragmented = path.with_suffix(".fragmented.mp4")
    _ffmpeg(
        *("-i", f"file:{video.path}", "-c", "copy"),
        *("-movflags", "empty_moov+frag_keyframe", f"file:{fragmented}"),
    )
    data = fragmented.read_bytes()
    path.write_bytes(data[: data.index(b"moof") - 4])
    return path


def truncated(video: Video, path: Path, share: float = 0.6, *, index_first: bool) -> Path:
    """The first `share` of the bytes of `video`, with its index before or after the lost part."""
    if index_first:
        moved = path.with_suffix(".moved.mp4")
        _ffmpeg(
            *("-i", f"file:{video.path}", "-c", "copy", "-movflags", "+faststart"), f"file:{moved}"
        )
        data = moved.read_bytes()
    else:
        data = video.path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def corrupted(video: Video, path: Path, *, seed: int = 1, share: float = 0.01) -> Path:
    """`video` with random bytes in the middle half of its coded pictures."""
    data = np.frombuffer(video.path.read_bytes(), np.uint8).copy()
    start = data.tobytes().index(b"mdat") + 4
    stop = data.tobytes().rindex(b"moov") - 4
    stop = stop if stop > start else len(data)
    quarter = (stop - start) // 4
    random = np.random.default_rng(seed)
    places = random.integers(start + quarter, stop - quarter, int(share * (stop - start)))
    data[places] = random.integers(0, 256, len(places))
    path.write_bytes(data.tobytes())
    return path


def _ffmpeg(*arguments: str) -> None:
    command = [str(find_ffmpeg()), "-hide_banner", "-loglevel", "error", "-y", *arguments]
    done = run(command)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
