"""The quickstart in small finds what it found before the house was rebuilt (version 0.1, in November 2026)."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsb.analysis.summary.score import score_run
from dsb.evaluation.configuration import load_run_config
from dsb.evaluation.run import execute
from dsb.runlog.run import open_run

ARMS = ("s1", "s2", "blind", "router:s1_uncertainty", "router:rule")
#: Task -> items, and the score of each arm.
FOUND = {
    "proactive": (7, (8 / 9, 0.9, 0.0, 0.8, 0.9)),
    "clue": (12, (2 / 12, 1.0, 0.0, 1.0, 1.0)),
    "realtime": (12, (1.0, 1.0, 0.25, 1.0, 1.0)),
    "reasoning": (12, (0.25, 0.75, 0.25, 0.75, 0.75)),
    "sequential": (12, (4 / 12, 1.0, 0.5, 1.0, 1.0)),
    "overall": (55, (26 / 55, 51 / 55, 13 / 55, 50 / 55, 51 / 55)),
}


def test_the_quickstart_finds_what_it_found_before(tmp_path: Path) -> None:
    settings = {"dataset.synth.sessions": 2, "output.dir": tmp_path, "dataset.data_dir": tmp_path}
    loaded = load_run_config("quickstart", [f"{key}={value}" for key, value in settings.items()])
    result = execute(loaded)
    assert (result.state, result.queries.done) == ("complete", 67)
    summary = score_run(open_run(result.run_dir))
    found = {
        task: (cells["s1"].n, tuple(cells[arm].value for arm in ARMS))
        for task, cells in summary.scores.items()
    }
    assert found == {task: (n, pytest.approx(values)) for task, (n, values) in FOUND.items()}
    assert (summary.work.frames_encoded, summary.work.model_calls) == (240, 852)
