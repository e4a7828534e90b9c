"""The tests say the same in a clone that was used, and whatever the shell says."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from children import run
from paths import ROOT

ODD_FILES = (
    "results/quickstart-1/manifest.json",
    "data/final/all.json",
    "data/synth/videos/session-000.mp4",
    "model_cache/tiny--vl/config.json",
    "quickstart.yaml",
    "dsb/decoder-threads.json",
)


@pytest.fixture
def odd_shell(tmp_path: Path) -> dict[str, str]:
    """Variables that point at odd things, and no home."""
    odd = {"DSB_MODEL_CACHE": "model_cache", "XDG_CACHE_HOME": str(tmp_path), "COLUMNS": "20"}
    odd |= {
        "FORCE_COLOR": "1",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    return {name: value for name, value in os.environ.items() if name != "HOME"} | odd


def test_the_command_line_is_tested_alike_in_a_clone_that_was_used(
    tmp_path: Path, odd_shell: dict[str, str]
) -> None:
    for name in ODD_FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]")
    before = sorted(tmp_path.rglob("*"))
    # Without what starts processes of its own: those are given a folder each.
    options = ["--fast", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT]
    command = [sys.executable, "-m", "pytest", *options, ROOT / "tests" / "cli"]
    done = run(command, cwd=tmp_path, env=odd_shell, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b\d{3} passed", done.stdout), done.stdout
    assert sorted(tmp_path.rglob("*")) == before
