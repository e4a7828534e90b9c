"""From a finished run to `summary.json`, the terminal and `report.html`."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from dsb.analysis.summary.schema import Summary
from dsb.analysis.summary.score import SCORES, read_summary, score_run
from dsb.benchmarks.item import dump_items
from dsb.config.schema import RunConfig
from dsb.errors import ReportError
from dsb.reports.page import write_report
from dsb.reports.terminal import render
from dsb.runlog.log import LogWriter
from dsb.runlog.records import SessionEnd
from run_logs import Log, instruction, question

END = {
    "queries_done": 4,
    "queries_failed": 0,
    "frames_decoded": 21,
    "frames_encoded": 21,
    "frames_provisional": 3,
    "model_calls": 9,
    "decode_errors": 0,
    "decode_wall_ns": 1,
    "decode_cpu_ns": 2_000_000_000,
    "model_ns": 3_000_000_000,
    "wall_ns": 4_000_000_000,
    "played_ns": 21_000_000_000,
}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return finished(tmp_path)


def finished(tmp_path: Path, **end: int) -> Path:
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
    log.add(SessionEnd, **{**END, **end})
    folder = tmp_path / "demo-12345678"
    with LogWriter(folder) as writer:
        for record in log.records:
            writer.append(record)
    dump_items(items, folder / "gold.json")
    (folder / "run.yaml").write_text(
        yaml.safe_dump({"config": RunConfig().model_dump(mode="json")})
    )
    (folder / "manifest.json").write_text(json.dumps({"identity_short": "12345678"}))
    return folder


def shown(summary: Summary, width: int) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=width).print(render(summary))
    return buffer.getvalue()


def test_the_summary_says_what_the_log_says(run_dir: Path) -> None:
    summary = score_run(run_dir)
    clue = {arm: cell.value for arm, cell in summary.scores["clue"].items()}
    assert clue == pytest.approx({"s1": 1 / 3, "s2": 1.0, "router:r": 2 / 3})
    assert summary.scores["proactive"]["s1"].value == 1.0
    assert summary.scores["overall"]["s2"].value == 1.0
    assert summary.costs["router:r"].s2_share is not None
    assert summary.costs["router:r"].s2_share.value == pytest.approx(1 / 3)
    assert summary.work.frames_encoded == 21
    assert summary.chance["clue"] == 0.5
    assert (summary.queries.total, summary.queries.failed) == (4, 0)


def test_every_cell_lies_in_its_interval(run_dir: Path) -> None:
    summary = score_run(run_dir)
    cells = [
        cell
        for table in (summary.scores, summary.proactive)
        for row in table.values()
        for cell in row.values()
    ]
    assert cells
    assert all(cell.low <= cell.value <= cell.high for cell in cells)


def test_scoring_twice_writes_the_same_bytes(run_dir: Path) -> None:
    score_run(run_dir)
    first = [(run_dir / name).read_bytes() for name in (SCORES, "summary.json")]
    score_run(run_dir)
    assert [(run_dir / name).read_bytes() for name in (SCORES, "summary.json")] == first


def test_the_written_summary_is_read_back_unchanged_and_names_its_format(run_dir: Path) -> None:
    summary = score_run(run_dir)
    assert read_summary(run_dir) == summary
    assert json.loads((run_dir / "summary.json").read_text())["schema"] == "dsb-summary/1"


def test_scores_hold_one_row_per_item_and_arm(run_dir: Path) -> None:
    score_run(run_dir)
    rows = [json.loads(line) for line in (run_dir / SCORES).read_text().splitlines()]
    assert len({(row["item"], row["arm"]) for row in rows}) == len(rows) == 4 * 3


def test_concealed_damage_is_a_warning(tmp_path: Path) -> None:
    warnings = score_run(finished(tmp_path, decode_errors=7)).warnings
    assert any("concealed in 1 of 1 sessions (7 errors" in warning for warning in warnings)


def test_few_videos_are_a_warning(run_dir: Path) -> None:
    assert any("3 videos" in warning for warning in score_run(run_dir).warnings)


def test_the_terminal_shows_every_arm_whole_in_a_hundred_columns(run_dir: Path) -> None:
    text = shown(score_run(run_dir), 100)
    assert "…" not in text
    assert all(arm in text for arm in ("S1", "S2", "router:r"))
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_page_stands_alone_and_is_well_formed(run_dir: Path) -> None:
    page = write_report(run_dir, score_run(run_dir)).read_text()
    assert not re.search(r"(src|href)=[\"']?http", page)
    assert page.count("<svg") == 3
    for figure in (run_dir / "figures").glob("*.svg"):
        assert ET.fromstring(figure.read_text()).tag.endswith("svg")


def test_drawing_twice_gives_the_same_page(run_dir: Path) -> None:
    summary = score_run(run_dir)
    first = write_report(run_dir, summary).read_bytes()
    assert write_report(run_dir, summary).read_bytes() == first


def test_text_from_a_run_is_escaped_on_the_page(run_dir: Path) -> None:
    summary = score_run(run_dir).model_copy(update={"run": "<script>alert(1)</script>"})
    assert "<script>" not in write_report(run_dir, summary).read_text()


@pytest.mark.parametrize(
    ("broken", "named"), [("gold.json", "gold.json"), ("run.yaml", "run.yaml")]
)
def test_a_folder_without_a_run_is_one_clear_error(run_dir: Path, broken: str, named: str) -> None:
    (run_dir / broken).unlink()
    with pytest.raises(ReportError, match=named):
        score_run(run_dir)


def test_a_run_without_a_complete_session_says_how_to_go_on(run_dir: Path) -> None:
    for segment in (run_dir / "log").glob("*.jsonl"):
        lines = segment.read_text().splitlines(keepends=True)
        segment.write_text("".join(lines[:-1]))
    with pytest.raises(ReportError, match="--resume"):
        score_run(run_dir)


def test_a_report_before_scoring_names_the_command(run_dir: Path) -> None:
    with pytest.raises(ReportError, match="dsb score"):
        read_summary(run_dir)
