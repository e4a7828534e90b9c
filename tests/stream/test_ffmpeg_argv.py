"""The decoder's command line: causal sampling, exact time, and names that cannot become options."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import videos
from children import run
from dsb.errors import DecoderNotFound
from dsb.stream.binary import ffmpeg_build, find_ffmpeg
from dsb.stream.ffmpeg import decode_argv
from dsb.stream.probe import parse_report, probe
from dsb.stream.request import DecodeRequest


def graph(argv: list[str]) -> str:
    return argv[argv.index("-filter_complex") + 1]


def option(argv: list[str], name: str) -> str:
    return argv[argv.index(name) + 1]


def test_sampling_rounds_up_and_comes_before_scaling() -> None:
    request = DecodeRequest("a.mp4", fps=Fraction(30000, 1001), size=(448, 336))
    filters = graph(decode_argv(request))
    sampling, scaling = filters.index("fps=fps=30000/1001:round=up"), filters.index("scale=")
    assert sampling < scaling
    assert "w=448" in filters
    assert "h=336" in filters


def test_frames_leave_as_rgb_in_nut_on_one_pipe() -> None:
    argv = decode_argv(DecodeRequest("a.mp4"))
    assert argv[0] == str(find_ffmpeg())
    assert argv[-1] == "pipe:1"
    assert option(argv, "-f") == "nut"
    assert option(argv, "-pix_fmt") == "rgb24"
    assert option(argv, "-fps_mode") == "passthrough"
    assert {"-copyts", "-start_at_zero", "-nostdin"} <= set(argv)


def test_a_file_cannot_pass_for_an_option_or_reach_the_network() -> None:
    argv = decode_argv(DecodeRequest("-y.mp4"))
    assert option(argv, "-i") == "file:-y.mp4"
    assert "http" not in option(argv, "-protocol_whitelist")
    assert argv.index("-protocol_whitelist") < argv.index("-i")


def test_a_camera_is_named_by_its_address() -> None:
    argv = decode_argv(DecodeRequest("rtsp://camera/1"))
    assert option(argv, "-i") == "rtsp://camera/1"
    assert option(argv, "-rtsp_transport") == "tcp"


def test_strict_sources_stop_at_damage() -> None:
    assert "-xerror" in decode_argv(DecodeRequest("a.mp4", strict=True))
    assert "-xerror" not in decode_argv(DecodeRequest("a.mp4", strict=False))


def test_a_seek_starts_early_enough_to_know_what_is_on_screen(tmp_path: Path) -> None:
    path = videos.constant(tmp_path).path
    assert float(option(decode_argv(DecodeRequest(path, start_s=3.5)), "-ss")) == 2.5
    assert "-ss" not in decode_argv(DecodeRequest(path, start_s=0.5))


def test_where_a_seek_cannot_be_trusted_decoding_starts_at_the_beginning(tmp_path: Path) -> None:
    assert "-ss" in decode_argv(DecodeRequest(videos.late_start(tmp_path).path, start_s=3.5))
    assert "-ss" not in decode_argv(
        DecodeRequest(videos.transport_stream(tmp_path).path, start_s=3.5)
    )
    assert "-ss" not in decode_argv(DecodeRequest("http://127.0.0.1/clip.mp4", start_s=3.5))


def test_an_explicit_binary_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for binary in (mine, other):
        binary.write_text("#!/bin/sh\n")
        binary.chmod(0o755)
    monkeypatch.setenv("DSB_FFMPEG", str(other))
    assert find_ffmpeg(mine) == mine
    assert find_ffmpeg() == other


def test_a_build_is_known_by_version_configuration_and_content() -> None:
    build = ffmpeg_build(find_ffmpeg())
    assert build.version[0].isdigit()
    assert "--enable" in build.configuration
    assert len(build.sha256) == 64
    assert ffmpeg_build(find_ffmpeg()) is build


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'ffmpeg version 4.4.1 Copyright'", "4.4.1, 5.1 or newer"),
        ("echo 'hello'", "is not ffmpeg"),
        ("exit 3", "does not run"),
    ],
)
def test_an_unusable_binary_is_refused_with_the_remedy(
    tmp_path: Path, script: str, says: str
) -> None:
    binary = tmp_path / "ffmpeg"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    with pytest.raises(DecoderNotFound, match=f"{says}.*pip install"):
        ffmpeg_build(binary)


def test_a_video_is_described_without_decoding_it(tmp_path: Path) -> None:
    info = probe(videos.ntsc(tmp_path).path)
    assert info.codec == "h264"
    assert (info.width, info.height) == info.display_size == (videos.WIDTH, videos.HEIGHT)
    assert info.duration_s == pytest.approx(140 * 1001 / 30000, abs=0.02)
    assert info.fps == Fraction(30000, 1001)
    assert not info.has_audio


def test_a_description_knows_rotation_pixel_shape_start_and_sound(tmp_path: Path) -> None:
    turned = probe(videos.rotated(videos.constant(tmp_path), tmp_path / "turned.mp4"))
    assert abs(turned.rotation) == 90
    assert turned.display_size == (videos.HEIGHT, videos.WIDTH)
    videos.encode(tmp_path / "wide.mp4", [0, 3000, 6000], picture="setsar=2")
    assert probe(tmp_path / "wide.mp4").display_size == (2 * videos.WIDTH, videos.HEIGHT)
    assert probe(videos.audio_first(tmp_path).path).has_audio
    assert probe(videos.late_start(tmp_path).path).start_s == pytest.approx(7.48, abs=0.01)


def test_cover_art_and_titles_do_not_pass_for_a_video() -> None:
    report = """Input #0, mp3, from 'SOURCE':
  Metadata:
    title           : Stream #0:0: Video: h264, yuv420p, 640x480, 30 fps
                    :   Stream #0:1: Video: h264, yuv420p, 640x480, 30 fps
  Duration: N/A, start: 0.000000, bitrate: 128 kb/s
  Stream #0:0: Audio: mp3, 44100 Hz, stereo, fltp, 128 kb/s
  Stream #0:1: Video: mjpeg (Baseline), yuvj420p(pc), 300x300, 90k tbr, 90k tbn (attached pic)
"""
    with pytest.raises(Exception, match=r"song\.mp3.*only sound"):
        parse_report(report, "song.mp3")


def test_the_command_line_decodes_with_the_binary_it_names(tmp_path: Path) -> None:
    argv = decode_argv(DecodeRequest(videos.constant(tmp_path).path, fps=Fraction(1), threads=1))
    done = run(argv, check=True)
    assert done.stdout.startswith(b"nut/multimedia container\0")
    assert done.stderr == b""
