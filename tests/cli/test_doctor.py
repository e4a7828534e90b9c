"""`dsb doctor` finds what is missing, says which command mends it, and never fails itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import videos
from children import run
from dsb import doctor
from dsb.cli.doctor import doctor as verb
from dsb.doctor import Check, examine

app = typer.Typer()
app.command()(verb)


def one(checks: list[Check], name: str) -> Check:
    (found,) = (check for check in checks if check.name.startswith(name))
    return found


def fake_ffmpeg(folder: Path, decoders: str, encoders: str = "") -> str:
    """A program that answers like an ffmpeg with these codecs."""
    binary = folder / "ffmpeg"
    binary.write_text(
        "#!/bin/sh\ncase $2 in\n"
        f"-decoders) printf '{decoders}';;\n"
        f"-encoders) printf '{encoders}';;\n"
        "*) echo 'ffmpeg version 7.0 Copyright';;\nesac\n"
    )
    binary.chmod(0o755)
    return str(binary)


def with_little_room(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Every disk has `free` bytes left."""
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("dsb.doctor.shutil.disk_usage", lambda _: usage)


def with_extras(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """The package asks for these requirements."""
    monkeypatch.setattr("dsb.doctor.importlib.metadata.requires", lambda _: lines)


def test_this_machine_can_decode_and_compute(tmp_path: Path) -> None:
    checks = examine(results_dir=tmp_path / "results")
    for name in ("python", "core", "ffmpeg", "decoders", "encoder", "torch", "transformers"):
        assert one(checks, name).status != "fail", one(checks, name)
    assert "h264" in one(checks, "decoders").found
    assert "cpu" in one(checks, "devices").found


def test_everything_that_is_not_well_comes_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsb._core.is_debug_build", lambda: True)
    with_little_room(monkeypatch, 10**6)
    with_extras(monkeypatch, ["no-such-package>=3; extra == 'api'"])
    ffmpeg = fake_ffmpeg(tmp_path, r" V....D vp9  Google VP9\n")
    checks = examine(results_dir=tmp_path, ffmpeg=ffmpeg, video=tmp_path / "missing.mp4")
    ill = {check.name.split()[0]: check.remedy for check in checks if check.status != "ok"}
    assert ill.keys() >= {"core", "decoders", "encoder", "disk", "extra", "video"}
    assert all(ill.values()), ill


def test_no_decoder_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSB_FFMPEG", "/nowhere/ffmpeg")
    (check,) = doctor.check_ffmpeg()
    assert check.status == "fail"
    assert "/nowhere/ffmpeg" in check.found
    assert check.remedy == "pip install imageio-ffmpeg"


def test_a_decoder_without_codecs_is_named_by_what_it_cannot_read(tmp_path: Path) -> None:
    binary = fake_ffmpeg(tmp_path, r" V....D h264  H.264\n V....D libdav1d  dav1d (codec av1)\n")
    checks = doctor.check_ffmpeg(binary)
    assert one(checks, "decoders").status == "warn"
    assert one(checks, "decoders").found == "reads h264, av1; not hevc, vp9"
    assert one(checks, "encoder").status == "warn"


def test_a_decoder_without_h264_is_a_failure(tmp_path: Path) -> None:
    checks = doctor.check_ffmpeg(fake_ffmpeg(tmp_path, r" V....D vp9  Google VP9\n"))
    assert one(checks, "decoders").status == "fail"


@pytest.mark.parametrize(("free", "status"), [(10**11, "ok"), (10**9, "warn"), (10**6, "fail")])
def test_a_full_disk_is_seen_before_a_run_finds_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    with_little_room(monkeypatch, free)
    (check,) = doctor.check_disk(tmp_path / "not" / "yet" / "there")
    assert check.status == status


def test_a_debug_build_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsb._core.is_debug_build", lambda: True)
    (check,) = doctor.check_core()
    assert (check.status, check.remedy) == ("warn", "maturin develop --release")


def test_a_core_that_does_not_load_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dsb._core", None)
    (check,) = doctor.check_core()
    assert check.status == "fail"


def test_an_incomplete_extra_names_the_packages_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [
        "numpy>=1.26",
        "no-such-package>=3; extra == 'api'",
        "numpy>=1.26 ; extra == 'bench'",
        "dualstreambench[api,bench]; extra == 'all'",
    ]
    with_extras(monkeypatch, lines)
    api, bench = doctor.check_extras()
    assert (api.status, api.remedy) == ("warn", "pip install 'no-such-package>=3'")
    assert (bench.name, bench.status) == ("extra [bench]", "ok")


def test_a_video_is_described_or_its_fault_is(tmp_path: Path) -> None:
    well, *_ = doctor.check_video(videos.constant(tmp_path).path)
    assert well.status == "ok"
    assert "h264 160x96" in well.found
    (ill,) = doctor.check_video(videos.audio_only(tmp_path / "sound.m4a"))
    assert ill.status == "fail"
    assert "sound.m4a" in ill.found


def test_the_verb_prints_one_json_object(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--json", "--results", str(tmp_path)])
    report = json.loads(result.stdout)
    assert result.exit_code == (0 if report["healthy"] else 3)
    assert {"name", "status", "found", "remedy"} == set(report["checks"][0])


def test_the_verb_ends_with_3_when_nothing_could_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSB_FFMPEG", "/nowhere/ffmpeg")
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 3
    assert "pip install imageio-ffmpeg" in result.stdout


@pytest.mark.parametrize("module", ["dsb.doctor", "dsb.cli.doctor", "dsb.stream.ffmpeg"])
def test_importing_a_check_does_not_import_what_it_checks(module: str) -> None:
    code = f"import sys, {module}; print({{'torch', 'transformers', 'ffmpeg'}} & set(sys.modules))"
    done = run([sys.executable, "-c", code], text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_packets_that_are_left_out_are_counted_per_rate(tmp_path: Path) -> None:
    _, *packets = doctor.check_video(videos.b_frames(tmp_path).path)
    assert [check.name for check in packets] == [
        "packets at 1/2 fps",
        "packets at 1 fps",
        "packets at 2 fps",
    ]
    assert all("of 130 are left out" in check.found for check in packets)


def test_a_full_decode_has_its_reason(tmp_path: Path) -> None:
    _, packets = doctor.check_video(videos.late_start(tmp_path).path)
    assert packets.found == "all are decoded: not an MP4 or MOV file [container]"
