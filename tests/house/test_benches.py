"""The Python benches run, in a size that says nothing about speed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import children
from paths import ROOT

BENCHES = ROOT / "benches"
#: How the peers of the decode bench are called, and what they are imported as.
PEERS = {"PyAV": "av", "decord": "decord", "torchcodec": "torchcodec", "OpenCV": "cv2"}


class Ran(NamedTuple):
    """A bench that ended well."""

    rows: list[dict]
    stdout: str
    stderr: str
    folder: Path

    def values(self, metric: str, field: str = "high") -> dict[tuple[str, str], float]:
        """One field of all rows of a metric, by case and subject."""
        return {(r["case"], r["subject"]): r[field] for r in self.rows if r["metric"] == metric}


def run(folder: Path, name: str, *arguments: str, path: Path | None = None) -> Ran:
    out = folder / "rows.json"
    places = [str(path)] if path else []
    places += os.environ.get("PYTHONPATH", "").split(os.pathsep)
    command = [sys.executable, BENCHES / name, "--quick", "--json", out, *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    done = children.run(command, env=environment, cwd=folder, text=True)
    assert done.returncode == 0, done.stderr
    return Ran(json.loads(out.read_text()), done.stdout, done.stderr, folder)


@pytest.fixture(scope="module")
def decoded(tmp_path_factory) -> Ran:
    """The decode bench where no peer is installed."""
    folder = tmp_path_factory.mktemp("decode")
    hidden = folder / "hidden"
    hidden.mkdir()
    for module in PEERS.values():
        (hidden / f"{module}.py").write_text(f"raise ImportError('no {module} here')\n")
    figure = ("--figure", str(folder / "figure.svg"))
    return run(folder, "decode.py", "--data", str(folder / "files"), *figure, path=hidden)


def test_the_decode_bench_skips_missing_peers_by_name(decoded):
    for name, module in PEERS.items():
        assert f"{name} skipped: ImportError: no {module} here" in decoded.stderr


def test_the_decode_bench_finds_that_dsb_delivers_what_is_on_screen(decoded):
    wrong = decoded.values("frames not on screen")
    assert {subject for _, subject in wrong} == {"dsb", "dsb unpruned"}
    assert set(wrong.values()) == {0.0}


def test_the_decode_bench_finds_the_frames_that_look_ahead(decoded):
    ahead = decoded.values("frames ahead, usual sampling")
    assert all(ahead[case, "ffmpeg -f null"] > 0 for case, _ in ahead)


def test_the_decode_bench_measures_relative_to_decoding_everything(decoded):
    for metric in ("wall_s ratio", "cpu_s ratio"):
        ratios = decoded.values(metric, "median")
        cases = {case for case, _ in ratios}
        assert cases
        assert all(ratios[case, "ffmpeg -f null"] == 1 for case in cases)
        assert all(ratios[case, "dsb"] > 0 for case in cases)


def test_the_decode_bench_says_what_is_left_out_of_every_file(decoded):
    cases = {row["case"] for row in decoded.rows}
    assert all(f"### {case}" in decoded.stdout for case in cases)
    assert decoded.stdout.count("`dsb` decodes ") == len(cases)


def test_the_decode_bench_draws_a_figure(decoded):
    assert "H.264 180p" in (decoded.folder / "figure.svg").read_text()


def test_the_window_bench_compares_equal_windows_and_readers(tmp_path):
    ran = run(tmp_path, "windows.py")
    subjects = {row["subject"] for row in ran.rows}
    assert {"dsb", "dsb: window", "dsb: at t", "deque + np.stack", "np.roll"} <= subjects
    assert all(share > 0 for share in ran.values("share kept", "median").values())


@pytest.mark.parametrize("shape", ["tiny", "nano"])
def test_the_engine_bench_gets_the_same_first_token_from_every_subject(tmp_path, shape):
    """Also with random weights made on the device, which is how large shapes are measured."""
    figure = tmp_path / "figure.svg"
    ran = run(tmp_path, "engine.py", "--shape", shape, "--figure", str(figure))
    same = ran.values("same first token", "low")
    assert len(same) == 2
    assert set(same.values()) == {1.0}
    subjects = {subject for _, subject in ran.values("TTFT p50 ms")}
    assert subjects == {"dsb", "scratch", "embedded", "cropped"}
    assert "time to first token" in figure.read_text()


@pytest.mark.slow
def test_the_engine_bench_gets_the_same_answers_from_a_compiled_model(tmp_path):
    ran = run(tmp_path, "engine.py", "--compile")
    assert set(ran.values("same answers", "low").values()) == {1.0}
    assert max(ran.values("largest log-probability difference").values()) < 2e-5
    assert {subject for _, subject in ran.values("poll ms")} == {"eager", "compiled"}


def test_the_engine_bench_polls_alike_under_every_reuse(tmp_path):
    ran = run(tmp_path, "engine.py", "--poll")
    differences = ran.values("largest log-probability difference")
    assert {subject for _, subject in differences} == {"none = kv", "embed = kv"}
    assert max(differences.values()) < 1e-4
    assert set(ran.values("model s ratio")) == {
        (case, pair) for case, _ in ran.values("model s") for pair in ("none / kv", "embed / kv")
    }
