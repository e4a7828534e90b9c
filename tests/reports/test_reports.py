"""From a finished run to `summary.json`, the terminal and `report.html`."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from dsb.analysis.summary.schema import Summary
from dsb.analysis.summary.score import SCORES, read_summary, score_run
from dsb.errors import ReportError
from dsb.reports.page import write_report
from dsb.reports.terminal import render
from dsb.runlog.run import Run, open_run
from run_logs import Log, instruction, question, write_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return finished(tmp_path)


def finished(tmp_path: Path, **end: int) -> Run:
    """A finished run: three questions, one instruction, S1 right once, S2 always, a router between them."""
    items = [question(n, evidence_s=((15.0, 16.0),)) for n in range(3)] + [instruction((10.0,))]
    log = Log(items)
    for item in items[:3]:
        log.answer(item.id, "s1", "red" if item.id == "q0" else "blue", confidence=0.4)
        log.answer(item.id, "s2", "red", ms=3, confidence=0.9)
        log.call(item.id, "s2", (0, 20), tokens=100)
        log.route(item.id, ["s2" if item.id == "q1" else "s1"])
    for system in ("s1", "s2"):
        log.turns(system, [0.1, 0.1, 0.9, 0.1, 0.1])
    log.end(**end)
    return open_run(write_run(tmp_path / "demo-12345678", items, log))


def shown(summary: Summary, width: int) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=width).print(render(summary))
    return buffer.getvalue()


def test_the_summary_says_what_the_log_says(run: Run) -> None:
    summary = score_run(run)
    clue = {arm: cell.value for arm, cell in summary.scores["clue"].items()}
    assert clue == pytest.approx({"s1": 1 / 3, "s2": 1.0, "router:r": 2 / 3})
    assert summary.scores["proactive"]["s1"].value == 1.0
    assert summary.scores["overall"]["s2"].value == 1.0
    assert summary.costs["router:r"].s2_share is not None
    assert summary.costs["router:r"].s2_share.value == pytest.approx(1 / 3)
    assert summary.work.frames_encoded == 21
    assert summary.chance["clue"] == 0.5
    assert (summary.queries.total, summary.queries.failed) == (4, 0)


def test_every_cell_lies_in_its_interval(run: Run) -> None:
    summary = score_run(run)
    cells = [
        cell
        for table in (summary.scores, summary.proactive)
        for row in table.values()
        for cell in row.values()
    ]
    assert cells
    assert all(cell.low <= cell.value <= cell.high for cell in cells)


def test_scoring_twice_writes_the_same_bytes(run: Run) -> None:
    score_run(run)
    first = [(run.path / name).read_bytes() for name in (SCORES, "summary.json")]
    score_run(open_run(run.path))
    assert [(run.path / name).read_bytes() for name in (SCORES, "summary.json")] == first


def test_the_written_summary_is_read_back_unchanged_and_names_its_format(run: Run) -> None:
    summary = score_run(run)
    assert read_summary(run.path) == summary
    assert json.loads((run.path / "summary.json").read_text())["schema"] == "dsb-summary/1"


def test_scores_hold_one_row_per_item_and_arm(run: Run) -> None:
    score_run(run)
    rows = [json.loads(line) for line in (run.path / SCORES).read_text().splitlines()]
    assert len({(row["item"], row["arm"]) for row in rows}) == len(rows) == 4 * 3


def test_concealed_damage_is_a_warning(tmp_path: Path) -> None:
    warnings = score_run(finished(tmp_path, decode_errors=7)).warnings
    assert any("concealed in 1 of 1 sessions (7 errors" in warning for warning in warnings)


def test_few_videos_are_a_warning(run: Run) -> None:
    assert any("3 videos" in warning for warning in score_run(run).warnings)


def test_the_terminal_shows_every_arm_whole_in_a_hundred_columns(run: Run) -> None:
    text = shown(score_run(run), 100)
    assert "…" not in text
    assert all(arm in text for arm in ("S1", "S2", "router:r"))
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_page_stands_alone_and_is_well_formed(run: Run) -> None:
    page = write_report(run.path, score_run(run)).read_text()
    assert not re.search(r"(src|href)=[\"']?http", page)
    assert page.count("<svg") == 3
    for figure in (run.path / "figures").glob("*.svg"):
        assert ET.fromstring(figure.read_text()).tag.endswith("svg")


def test_drawing_twice_gives_the_same_page(run: Run) -> None:
    summary = score_run(run)
    first = write_report(run.path, summary).read_bytes()
    assert write_report(run.path, summary).read_bytes() == first


def test_text_from_a_run_is_escaped_on_the_page(run: Run) -> None:
    summary = score_run(run).model_copy(update={"run": "<script>alert(1)</script>"})
    assert "<script>" not in write_report(run.path, summary).read_text()


def test_a_run_without_a_complete_session_says_how_to_go_on(run: Run) -> None:
    for segment in (run.path / "log").glob("*.jsonl"):
        lines = segment.read_text().splitlines(keepends=True)
        segment.write_text("".join(lines[:-1]))
    with pytest.raises(ReportError, match="--resume"):
        score_run(run)


def test_a_report_before_scoring_names_the_command(run: Run) -> None:
    with pytest.raises(ReportError, match="dsb score"):
        read_summary(run.path)
