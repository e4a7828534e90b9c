"""What packages announce is heard before it happens: a run and its report use nothing deprecated."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from children import run

DSB = (sys.executable, "-c", "from dsb.cli.app import main; main()")


def strict(*words: str | Path) -> None:
    """`dsb` with these words, to which every warning is an error, those of imports included."""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = run([*DSB, *words], env=environment, text=True)
    assert done.returncode == 0, done.stderr
    # One that is raised where nobody can catch it is printed.
    assert "Warning" not in done.stderr


@pytest.mark.slow
def test_the_quickstart_and_its_report_warn_of_nothing(tmp_path: Path) -> None:
    results = tmp_path / "results"
    strict(
        "run", "quickstart", "--max-samples", "4", "-s", "dataset.synth.sessions=1",
        "-s", f"output.dir={results}", "-s", f"dataset.data_dir={tmp_path / 'data'}",
    )  # fmt: skip
    strict("report", next(results.iterdir()))
