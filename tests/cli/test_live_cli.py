"""`dsb run` on standard input, and the configurations of live runs that are refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

import live_sources as live
from children import run
from dsb.analysis.summary.score import read_summary
from dsb.benchmarks.item import dump_items
from dsb.config.address import without_password
from dsb.config.load import load_config
from dsb.errors import ConfigError, RunError
from dsb.evaluation.run import execute
from dsb.runlog.log import segments
from dsb.runlog.records import SessionEnd
from dsb.runlog.run import open_run
from dsb.stream.ffmpeg import input_spec
from dsb.stream.live import live_input
from sessions import question

CONFIG = """
dataset: {data_dir: .}
model: {threads: 1}
video: {fps: 5, width: 140, height: 56}
stream: {source: "-", clock: realtime, analyze_s: 0.5}
system:
  s1: {window: {max_frames: 4}, answering: likelihood}
  s2: {window: {max_frames: 8}, answering: likelihood}
"""
DSB = (sys.executable, "-c", "from dsb.cli.app import main; main()")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with two questions."""
    (tmp_path / "final").mkdir()
    items = [question("one", 0.3, "camera"), question("two", 0.8, "another camera")]
    dump_items(items, tmp_path / "final" / "all.json")
    (tmp_path / "live.yaml").write_text(CONFIG)
    return tmp_path


def test_a_pipe_on_standard_input_is_played_and_scored(folder: Path) -> None:
    video = live.recording(folder, frames=240)
    with live.sender(video, *live.TO_PIPE, stdout=PIPE) as camera:
        done = run([*DSB, "run", "live.yaml"], stdin=camera.stdout, text=True)
    assert done.returncode == 0, done.stderr
    assert "live: " in done.stdout
    assert "dropped, 0 gaps" in done.stdout
    (run_dir,) = (folder / "results").iterdir()
    summary = read_summary(run_dir)
    assert summary.queries.done == 2
    assert summary.videos == 1, "one stream is one cluster, whatever its items call it"
    assert summary.live is not None
    assert summary.live.frames_come > 0
    (end,) = [record for record in open_run(run_dir).records() if isinstance(record, SessionEnd)]
    assert end.session == "standard input"


def test_a_killed_live_session_is_not_replaced_unasked(folder: Path) -> None:
    video = live.recording(folder, frames=240)
    loaded = load_config("live.yaml", [f"stream.source={video}"])
    result = execute(loaded)
    (segment,) = segments(result.run_dir)
    lines = segment.read_text().splitlines(keepends=True)
    assert json.loads(lines[-1])["kind"] == "session_end"
    segment.write_text("".join(lines[:-1]))
    with pytest.raises(RunError, match="a live source does not come again"):
        execute(loaded, resume=True)
    again = execute(loaded, fresh=True)
    assert (again.state, again.live) == ("complete", True)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (["stream.clock=virtual"], "stream.clock: a live source runs with the wall clock"),
        (["stream.mode=offline"], "stream.mode: stream.source is played once"),
        (["video.width=null"], "video.width: this source cannot be looked at"),
        (["stream.listen=true"], "stream.listen: only rtsp:// sources connect to us"),
        (["stream.source=null", "stream.listen=true"], "stream.listen: there is nobody"),
    ],
)
def test_what_a_live_run_cannot_be(folder: Path, settings: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(folder / "live.yaml", settings)
    assert problem in str(refused.value)
    assert "set " in str(refused.value)


def test_a_file_as_the_source_needs_no_wall_clock(folder: Path) -> None:
    settings = ["stream.source=lobby.mp4", "stream.clock=virtual"]
    assert load_config(folder / "live.yaml", settings).config.stream.source == "lobby.mp4"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://me:secret@camera:554/1?x=a:b@c", "rtsp://me:***@camera:554/1?x=a:b@c"),
        ("http://me:se@cret@camera/", "http://me:***@camera/"),
        ("rtsp://me@camera:554/1", "rtsp://me@camera:554/1"),
        ("http://camera:8080/a@b", "http://camera:8080/a@b"),
        ("a:b@c.mp4", "a:b@c.mp4"),
    ],
)
def test_a_password_is_masked_and_nothing_else(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_a_camera_is_read_by_its_driver_and_has_no_end() -> None:
    assert input_spec("/dev/video0") == ("/dev/video0", {"f": "v4l2"})
    stream = live.settings("/dev/video0")
    assert live_input(live.request(stream), stream).endless
