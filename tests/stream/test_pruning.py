"""Leaving packets out changes no frame: times and pixels equal a full decode, whatever the file."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import videos
from children import run
from dsb.stream.binary import find_ffmpeg
from dsb.stream.pruning import packet_index, prune
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source
from dsb.stream.window import union_rate
from mp4_boxes import changed, long_offsets, with_long_media

Frames = list[tuple[int, str]]

RATES = [Fraction(1, 5), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(5)]
SECONDS = 8
X264 = ("-c:v", "libx264", "-preset", "fast", "-g", "45")
X265 = ("-c:v", "libx265", "-preset", "fast", "-tag:v", "hvc1")


def make(
    path: Path, *codec: str, rate: str = "30", filters: str = "null", s: int = SECONDS
) -> Path:
    """A moving, noisy picture, so that a wrong reference shows in every later pixel."""
    picture = f"testsrc2=s=160x96:r={rate}:d={s},noise=alls=12:allf=t:all_seed=3,{filters}"
    return _written(path, "-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", *codec)


def remux(path: Path, target: Path, *options: str, inputs: tuple[str, ...] = ()) -> Path:
    return _written(target, *inputs, "-i", f"file:{path}", "-c", "copy", *options)


def _written(path: Path, *arguments: str) -> Path:
    command = [str(find_ffmpeg()), "-hide_banner", "-loglevel", "error", "-y", *arguments]
    done = run([*command, f"file:{path}"])
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return path


def joined(target: Path, *parts: Path) -> Path:
    """One after the other, each with its own parameter sets."""
    listed = target.with_suffix(".txt")
    listed.write_text("".join(f"file '{part}'\n" for part in parts))
    return remux(listed, target, inputs=("-f", "concat", "-safe", "0"))


def x265(parameters: str) -> tuple[str, ...]:
    return (*X265, "-x265-params", f"log-level=error:keyint=45:min-keyint=45:{parameters}")


#: Uneven gaps, with a picture that stands still for 1.7 s.
UNEVEN = "settb=1/90000,setpts=3000*N+450*mod(N*7\\,5)+153000*gte(N\\,70)"

#: name -> how it is made.
FILES: dict[str, Callable[[Path], Path]] = {
    "b_pyramid": lambda p: make(p, *X264, "-bf", "7", "-b-pyramid", "normal", "-b_strategy", "0"),
    "open_gop": lambda p: make(p, *X264, "-x264-params", "open-gop=1:bframes=3"),
    "no_b_frames": lambda p: make(p, *X264, "-bf", "0"),
    "baseline": lambda p: make(p, *X264, "-profile:v", "baseline"),
    "intra_only": lambda p: make(p, "-c:v", "libx264", "-preset", "ultrafast", "-g", "1"),
    "intra_refresh": lambda p: make(p, *X264, "-x264-params", "intra-refresh=1:bframes=2"),
    "interlaced": lambda p: make(p, *X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1"),
    "slices": lambda p: make(p, *X264, "-x264-params", "slices=4:bframes=3"),
    "weighted_temporal": lambda p: make(
        p, *X264, "-x264-params", "direct=temporal:weightp=2:ref=5"
    ),
    "in_band_sets": lambda p: make(p, *X264, "-x264-params", "repeat-headers=1", "-tag:v", "avc3"),
    "timing_messages": lambda p: make(
        p, *X264, "-x264-params", "nal-hrd=vbr:aud=1", "-maxrate", "1M", "-bufsize", "1M"
    ),
    "hevc_closed": lambda p: make(p, *x265("open-gop=0")),
    "hevc_open": lambda p: make(p, *x265("open-gop=1")),
    "hevc_layers": lambda p: make(p, *x265("temporal-layers=3:b-adapt=0:bframes=7")),
    "hevc_no_b_frames": lambda p: make(p, *x265("bframes=0")),
    "hevc_10_bit": lambda p: make(
        p, *X265, "-x265-params", "log-level=error", "-pix_fmt", "yuv420p10le"
    ),
    "hevc_in_band": lambda p: make(p, *x265("repeat-headers=1:open-gop=0"), "-tag:v", "hev1"),
    "variable": lambda p: make(
        p,
        *X264,
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1:90000",
        "-video_track_timescale",
        "90000",
        filters=UNEVEN,
    ),
    "ntsc": lambda p: make(p, *X264, rate="30000/1001"),
    "film": lambda p: make(p, *X264, rate="24000/1001"),
    "one_frame": lambda p: make(p, *X264, s=1, filters="trim=end_frame=1"),
    "two_frames": lambda p: make(p, *X264, s=1, filters="trim=end_frame=2"),
    "index_first": lambda p: make(p, *X264, "-movflags", "+faststart"),
    "quicktime": lambda p: make(p.with_suffix(".mov"), *X264),
    "timecode": lambda p: make(p.with_suffix(".mov"), *X264, "-timecode", "01:02:03:04"),
    "no_edit_list": lambda p: make(p, *X264, "-use_editlist", "0"),
    "late_start": lambda p: make(p, *X264, "-output_ts_offset", "2.34"),
    "negative_offsets": lambda p: make(p, *X264, "-movflags", "+negative_cts_offsets"),
    "rotated": lambda p: remux(
        make(p.with_stem("upright"), *X264), p, inputs=("-display_rotation", "90")
    ),
    "with_sound": lambda p: remux(
        make(p.with_stem("mute"), *X264),
        p,
        "-map",
        "1:v",
        "-map",
        "0:a",
        "-c:a",
        "aac",
        inputs=("-f", "lavfi", "-i", "sine=d=9"),
    ),
    "late_sound": lambda p: remux(
        make(p.with_stem("mute"), *X264),
        p,
        "-map",
        "1:v",
        "-map",
        "0:a",
        "-c:a",
        "aac",
        inputs=("-itsoffset", "1.5", "-f", "lavfi", "-i", "sine=d=3"),
    ),
    "sound_first": lambda p: remux(
        make(p.with_stem("mute"), *X264),
        p,
        "-map",
        "1:v",
        "-map",
        "0:a",
        "-c:a",
        "aac",
        inputs=("-f", "lavfi", "-i", "sine=d=9", "-itsoffset", "0.72"),
    ),
    # What AVI does not hold: times on screen. Decoders go by their own order then.
    "times_of_decoding": lambda p: remux(
        remux(make(p.with_stem("ordered"), *X264, "-bf", "3"), p.with_suffix(".avi")), p
    ),
    "joined": lambda p: joined(p, *(make(p.with_stem(f"part_{i}"), *X264, s=3) for i in range(3))),
    "joined_sizes": lambda p: joined(
        p,
        *(
            make(p.with_stem(f"size_{i}"), *X264, filters=size, s=3)
            for i, size in enumerate(["null", "scale=96x64", "null"])
        ),
    ),
    "joined_ranges": lambda p: joined(
        p,
        *(
            make(p.with_stem(f"range_{i}"), *X264, "-color_range", kind, s=3)
            for i, kind in enumerate(["tv", "pc", "tv"])
        ),
    ),
    "cut": lambda p: remux(make(p.with_stem("whole"), *X264), p, inputs=("-ss", "2.5")),
    "fragmented": lambda p: make(p, *X264, "-movflags", "frag_keyframe+empty_moov"),
    "long_offsets": lambda p: changed(
        make(p.with_stem("short"), *X264), p, {b"stco": long_offsets}
    ),
    "long_media": lambda p: with_long_media(make(p.with_stem("short"), *X264), p),
    "vp9": lambda p: make(p, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "matroska": lambda p: make(p.with_suffix(".mkv"), *X264),
    "mpeg4": lambda p: make(p, "-c:v", "mpeg4"),
}

#: What keeps packets of these from being left out, at one frame per second.
OBSTACLES = {
    "interlaced": "interlaced",
    "hevc_no_b_frames": "nothing",
    "one_frame": "nothing",
    "two_frames": "nothing",
    "late_start": "edit-list",
    "negative_offsets": "times",
    "sound_first": "edit-list",
    "times_of_decoding": "times",
    "joined_sizes": "several-descriptions",
    "joined_ranges": "several-descriptions",
    "cut": "edit-list",
    "fragmented": "fragmented",
    "vp9": "codec",
    "matroska": "container",
    "mpeg4": "codec",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def made(folder: Path) -> Callable[[str], Path]:
    """The file of a name, made when it is asked for and once."""
    return functools.cache(lambda name: FILES[name](folder / f"{name}.mp4"))


@pytest.fixture(scope="module")
def b_pyramid(made: Callable[[str], Path]) -> Path:
    return made("b_pyramid")


def frames(
    path: Path, fps: Fraction, pruning: Any, *, strict: bool = False, **how: Any
) -> tuple[Frames, bool]:
    """(time, hash of the pixels) of every frame, and whether the last ones came from a pruned decode."""
    found: Frames = []
    request = DecodeRequest(path, fps, strict=strict, threads=1, **how)
    with open_source(request, pruning=pruning) as source:
        while source.frames.wait(len(found), 60):
            window = source.frames.window(len(found), len(found) + 1)
            digest = hashlib.blake2b(np.asarray(window).tobytes()).hexdigest()
            found.append((window.pts_ns[0], digest))
            window.release()
            source.frames.release_before(len(found))
        return found, source.pruned


@pytest.mark.parametrize("name", FILES)
def test_pruned_frames_are_those_of_a_full_decode(name: str, made: Callable[[str], Path]) -> None:
    path = made(name)
    found = prune(DecodeRequest(path, Fraction(1)))
    assert found is not None
    assert found.obstacle == OBSTACLES.get(name)
    if found.obstacle is not None:
        assert frames(path, Fraction(1), "auto")[1] is False
        return
    assert found.kept < found.packets
    for ffmpeg in videos.decoders():
        for fps in RATES:
            expected, _ = frames(path, fps, "off", ffmpeg=ffmpeg)
            assert frames(path, fps, "auto", ffmpeg=ffmpeg) == (expected, True), (ffmpeg, fps)


def test_at_the_source_rate_every_packet_is_needed(b_pyramid: Path) -> None:
    found = prune(DecodeRequest(b_pyramid, Fraction(30)))
    assert found is not None
    assert found.obstacle == "nothing"


def test_two_rates_of_one_session_cost_the_packets_of_their_union(b_pyramid: Path) -> None:
    """Ticks at 2 fps hold those at 1/2 fps: the slow system adds nothing to decode."""
    union = union_rate([Fraction(2), Fraction(1, 2)])
    fast, both = (prune(DecodeRequest(b_pyramid, fps)) for fps in (Fraction(2), union))
    assert fast is not None
    assert both is not None
    assert both.kept == fast.kept


@pytest.mark.parametrize("start_s", [0.5, 2.0, 4.7, 7.9])
@pytest.mark.parametrize(
    "name",
    ["b_pyramid", "ntsc", "variable", "matroska", "open_gop", "vp9", "hevc_open", "sound_first"],
)
def test_frames_after_a_start_are_those_of_a_decode_from_the_beginning(
    name: str, start_s: float, made: Callable[[str], Path]
) -> None:
    path = made(name)
    for ffmpeg in videos.decoders():
        everything, _ = frames(path, Fraction(2), "off", ffmpeg=ffmpeg)
        begun, _ = frames(path, Fraction(2), "auto", ffmpeg=ffmpeg, start_s=start_s)
        # The frame on screen at the start is among them, and so is every later one.
        first = max(0, sum(pts <= start_s * 1e9 for pts, _ in everything) - 1)
        assert begun == everything[len(everything) - len(begun) :]
        assert len(begun) >= len(everything) - first


def test_a_far_start_skips_what_was_before(folder: Path) -> None:
    path = make(folder / "long.mp4", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", s=40)
    near, far = (prune(DecodeRequest(path, Fraction(2), start_s=start)) for start in (0, 36))
    assert near is not None
    assert far is not None
    assert far.kept < near.kept / 3


@pytest.mark.parametrize("start_s", [8.0, 9.0, 1e12])
def test_a_start_behind_the_end_is_that_of_a_full_decode(start_s: float, b_pyramid: Path) -> None:
    full, _ = frames(b_pyramid, Fraction(2), "off", start_s=start_s)
    assert frames(b_pyramid, Fraction(2), "auto", start_s=start_s)[0] == full


def test_a_full_decode_that_takes_over_starts_where_the_pruned_one_would(folder: Path) -> None:
    """Models that take frames in pairs count them from the first that is delivered."""
    path = make(folder / "whole.mp4", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", s=20)
    data = bytearray(path.read_bytes())
    media, index = data.index(b"mdat"), data.rindex(b"moov")
    for place in range(media + (index - media) // 4, index - 4, 997):
        data[place] ^= 0x5A
    damaged = folder / "damaged.mp4"
    damaged.write_bytes(data)
    expected, _ = frames(damaged, Fraction(2), "off")
    found, pruned = frames(damaged, Fraction(2), "auto", start_s=16)
    assert not pruned
    assert [pts for pts, _ in found] == [pts for pts, _ in expected if pts >= 16 * 10**9]


def test_a_file_that_changes_between_reading_and_decoding_is_decoded_in_full(folder: Path) -> None:
    path = make(folder / "changing.mp4", *X264, s=2)
    index = packet_index(path)
    make(path, *X264, s=3)
    assert index.prune((1, 1)).obstacle == "changed"
    assert packet_index(path).prune((1, 1)).obstacle is None
