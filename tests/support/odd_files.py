"""Videos that are unusual and videos that are damaged, made when a test needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

import videos
from videos import HEIGHT, TIMESCALE, WIDTH, Video

#: One tick of the clock of MPEG-TS before its 33 bits run over, after 26.5 hours.
TS_WRAP_S = 2**33 / 90_000

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-b_strategy", "0", "-g", "15")
MP4 = ("-video_track_timescale", str(TIMESCALE))


@dataclass(frozen=True)
class Odd:
    """An intact video and how it is shown."""

    video: Video
    size: tuple[int, int] = (WIDTH, HEIGHT)
    """(width, height) in square pixels after rotation."""
    quarter_turns: int = 0
    """How often it is turned counter-clockwise on screen."""


def at_25_fps(path: Path, frames: int = 60, *, late: int = 0, **how: object) -> Video:
    """Frames every 40 ms, the first one `late` frames after the start of the stream."""
    ticks = [3600 * (n + late) for n in range(frames)]
    videos.encode(path, ticks, **{"codec": X264, **how})  # type: ignore[arg-type]
    return Video(path, tuple(Fraction(tick, TIMESCALE) for tick in ticks))


def _ten_bit(path: Path) -> Odd:
    codec = (*X264, "-profile:v", "high10", "-pix_fmt", "yuv420p10le")
    return Odd(at_25_fps(path, codec=codec))


def _ten_bit_hevc(path: Path) -> Odd:
    codec = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
    return Odd(at_25_fps(path, codec=(*codec, "-pix_fmt", "yuv420p10le")))


def _full_chroma(path: Path) -> Odd:
    return Odd(at_25_fps(path, codec=(*X264, "-pix_fmt", "yuv444p")))


def _odd_size(path: Path) -> Odd:
    picture = "scale=161:97:flags=neighbor"
    codec = (*X264, "-pix_fmt", "yuv444p")
    return Odd(at_25_fps(path, codec=codec, picture=picture), size=(161, 97))


def _odd_size_with_halved_chroma(path: Path) -> Odd:
    codec = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
    picture = "scale=161:97:flags=neighbor"
    return Odd(at_25_fps(path.with_suffix(".webm"), codec=codec, picture=picture), size=(161, 97))


def _turned(quarter_turns: int) -> Callable[[Path], Odd]:
    def make(path: Path) -> Odd:
        upright = at_25_fps(path.with_stem("upright"), muxer=MP4)
        videos.rotated(upright, path, degrees=90 * quarter_turns)
        size = (HEIGHT, WIDTH) if quarter_turns % 2 else (WIDTH, HEIGHT)
        return Odd(Video(path, upright.pts), size, quarter_turns)

    return make


def _wide_pixels(path: Path) -> Odd:
    return Odd(at_25_fps(path, picture="setsar=20/11"), size=(round(WIDTH * 20 / 11), HEIGHT))


def _narrow_pixels(path: Path) -> Odd:
    return Odd(at_25_fps(path, picture="setsar=3/4"), size=(120, HEIGHT))


def _edit_list_that_cuts(path: Path) -> Odd:
    """What was before the cut is in the file, because decoding must start there, and hidden."""
    whole = at_25_fps(path.with_stem("whole"), muxer=MP4)
    videos.cut(whole, path, start_s=0.8)
    # The hidden frames keep their numbers and have times before 0.
    return Odd(Video(path, tuple(pts - Fraction(4, 5) for pts in whole.pts)))


def _with_sound(path: Path, sound_s: float, late: int = 0) -> Odd:
    inputs = ("-f", "lavfi", "-i", f"sine=sample_rate=8000:duration={sound_s}")
    return Odd(at_25_fps(path, late=late, inputs=inputs, muxer=("-map", "0:a", *MP4)))


def _sound_that_lasts_longer(path: Path) -> Odd:
    return _with_sound(path, sound_s=5)


def _video_that_starts_late(path: Path) -> Odd:
    return _with_sound(path, sound_s=3, late=18)


def _clock_that_runs_over(path: Path) -> Odd:
    """Half a second before the wrap."""
    muxer = ("-muxdelay", "0", "-muxpreload", "0", "-output_ts_offset", f"{TS_WRAP_S - 0.5:.3f}")
    return Odd(at_25_fps(path.with_suffix(".ts"), muxer=muxer))


def _clock_that_runs_over_late(path: Path) -> Odd:
    """A hundred seconds before the wrap, which is further than a demuxer looks ahead."""
    path = path.with_suffix(".ts")
    ticks = [TIMESCALE * n for n in range(120)]
    muxer = ("-muxdelay", "0", "-muxpreload", "0", "-output_ts_offset", f"{TS_WRAP_S - 100:.3f}")
    videos.encode(path, ticks, codec=X264, muxer=muxer)
    return Odd(Video(path, tuple(map(Fraction, range(120)))))


#: What is unusual about an intact file -> how it is made.
INTACT: dict[str, Callable[[Path], Odd]] = {
    "10-bit": _ten_bit,
    "10-bit-hevc": _ten_bit_hevc,
    "4:4:4": _full_chroma,
    "odd-size": _odd_size,
    "odd-size-4:2:0": _odd_size_with_halved_chroma,
    "turned-90": _turned(1),
    "turned-180": _turned(2),
    "turned-270": _turned(3),
    "wide-pixels": _wide_pixels,
    "narrow-pixels": _narrow_pixels,
    "edit-list": _edit_list_that_cuts,
    "sound-longer": _sound_that_lasts_longer,
    "video-late": _video_that_starts_late,
    "ts-wrap": _clock_that_runs_over,
    "ts-wrap-late": _clock_that_runs_over_late,
}

#: Any of these can be the name of a file.
NAMES = (
    "with space.mp4",
    "-dash.mp4",
    "it's.mp4",
    'quo"te.mp4',
    "ünï 视频.mp4",
    "two\nlines.mp4",
    "a:b%03d[0].mp4",
    "back\\slash;.mp4",
    "http:colon,comma|bar.mp4",
)


# -- damage ------------------------------------------------------------------------------------

FRAMES = 50
#: Ticks per second at which damaged files are sampled; every fifth frame falls onto one.
TICKS_PER_S = Fraction(5)


def whole(path: Path, *, index_first: bool = False) -> Video:
    """A noisy video of two seconds, of which nearly all bytes are coded pictures."""
    order = ("-movflags", "+faststart") if index_first else ()
    return at_25_fps(path, FRAMES, picture="noise=alls=24:allf=t:all_seed=1", muxer=(*MP4, *order))


def index_of(data: bytes) -> range:
    """The bytes of the `moov` box of an MP4 file."""
    start = data.index(b"moov") - 4
    return range(start, start + int.from_bytes(data[start : start + 4]))


def flips(
    data: bytes, count: int, seed: int, where: range | None = None
) -> Iterator[tuple[int, bytes]]:
    """`count` times: (place, `data` with one byte there replaced by another one)."""
    random = np.random.default_rng(seed)
    where = range(len(data)) if where is None else where
    places = random.integers(where.start, where.stop, count).tolist()
    masks = random.integers(1, 256, count).tolist()
    for place, mask in zip(places, masks, strict=True):
        yield place, data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]
