"""Experiments run the real machinery in variants, and say loudly when variants disagree."""

from __future__ import annotations

import dataclasses
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb.config.load import LoadedConfig
from dsb.config.schema import RunConfig
from dsb.errors import ConfigError, ReportError
from dsb.experiments.backlog import Backlog, Ingest, backlog
from dsb.experiments.measure import Measured, Response, agreement
from dsb.experiments.reuse import ReuseRow, run_reuse
from dsb.experiments.stride import StrideResult, run_stride
from dsb.reports.experiments import reuse_report, stride_report
from dsb.runlog.log import segments

STRIDES, SPEEDS = (1, 3), (1, 1000)


def make_config(data: Path, **cache: Any) -> RunConfig:
    """One easy stream of 60 s; S2 looks at the whole of it."""
    return RunConfig.model_validate(
        {
            "dataset": {
                "data_dir": str(data),
                "synth": {"sessions": 1, "level": "easy"},
                "max_samples": 12,
            },
            "model": {"threads": 1, "device": "cpu"},
            "system": {
                "blind": False,
                "s1": {"window": {"max_frames": 4}, "answering": "likelihood"},
                "s2": {"window": {"max_frames": 64}, "answering": "likelihood"},
                "streaming_embed_cache": cache,
            },
        }
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def strides(data: Path, out: Path) -> StrideResult:
    return run_stride(LoadedConfig(make_config(data), {}), STRIDES, SPEEDS, out)


@pytest.fixture(scope="module")
def reused(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[ReuseRow]:
    return list(run_reuse(LoadedConfig(make_config(data), {}), tmp_path_factory.mktemp("reuse")))


def test_the_stride_changes_no_answer(strides: StrideResult) -> None:
    assert strides.identical
    assert all(row.agreement.compared >= 20 for row in strides.rows)
    assert any("every answer is the same" in note for note in stride_report(strides).notes)


def test_every_stride_reads_every_frame_once(strides: StrideResult) -> None:
    first, second = (row.measured for row in strides.rows)
    assert first.frames_encoded == second.frames_encoded > 0
    assert first.tokens_computed == second.tokens_computed
    assert first.ingest_fps
    assert second.ingest_fps


def test_a_complete_experiment_is_not_run_again(
    data: Path, out: Path, strides: StrideResult
) -> None:
    logs = [
        (log, log.read_bytes()) for row in strides.rows for log in segments(row.measured.run_dir)
    ]
    again = run_stride(LoadedConfig(make_config(data), {}), STRIDES, SPEEDS, out)
    assert [row.measured.run_dir for row in again.rows] == [
        row.measured.run_dir for row in strides.rows
    ]
    assert [(log, log.read_bytes()) for log, _ in logs] == logs


def test_a_stream_that_nobody_reads_ahead_has_no_stride(data: Path, tmp_path: Path) -> None:
    config = make_config(data)
    window = config.system.s2.window.model_copy(update={"kv": "strict"})
    s2 = config.system.s2.model_copy(update={"window": window})
    config = config.model_copy(update={"system": config.system.model_copy(update={"s2": s2})})
    with pytest.raises(ReportError, match=r"window\.kv=evict"):
        run_stride(LoadedConfig(config, {}), (1,), SPEEDS, tmp_path)


@pytest.mark.parametrize("wrong", [(), (0,), (2, 2)])
def test_strides_are_different_positive_numbers(
    data: Path, tmp_path: Path, wrong: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError, match="strides"):
        run_stride(LoadedConfig(make_config(data), {}), wrong, SPEEDS, tmp_path)


def test_reuse_answers_alike_and_costs_less_each_time(reused: list[ReuseRow]) -> None:
    none, embed, kv = reused
    assert [row.reuse for row in reused] == ["none", "embed", "kv"]
    assert embed.agreement.identical
    assert not kv.agreement.different
    assert embed.measured.frames_encoded < none.measured.frames_encoded
    assert kv.measured.frames_encoded == embed.measured.frames_encoded
    assert kv.measured.tokens_computed < embed.measured.tokens_computed


def test_reuse_says_when_frames_have_left_a_window(data: Path, tmp_path: Path) -> None:
    config = make_config(data, context_tokens=64)
    rows = run_reuse(LoadedConfig(config, {}), tmp_path)
    assert [row.evicts for row in rows] == [False, False, True]
    report = reuse_report(rows)
    assert any("another, specified attention pattern" in note for note in report.notes)
    assert not any("WARNING" in note for note in report.notes)


def test_a_changed_answer_is_reported_loudly(strides: StrideResult) -> None:
    row = strides.rows[1]
    key = next(iter(row.measured.responses))
    responses = {**row.measured.responses, key: Response("something else")}
    changed = dataclasses.replace(row.measured, responses=responses)
    wrong = agreement(strides.rows[0].measured, changed)
    assert wrong.different == (key,)
    rows = [strides.rows[0], dataclasses.replace(row, agreement=wrong)]
    report = stride_report(dataclasses.replace(strides, rows=rows))
    assert report.data["identical"] is False
    assert any(note.startswith("WARNING") and key[0] in note for note in report.notes)
    assert any("DIFFER" in cell for cell in report.rows[1])


def test_numbers_of_another_computation_are_not_identical() -> None:
    key = ("q", "s1")
    ours = Measured("a", Path("a"), responses={key: Response("A", (-0.1, -2.0))})
    theirs = Measured("b", Path("b"), responses={key: Response("A", (-0.1, -2.01))})
    found = agreement(ours, theirs)
    assert not found.different
    assert found.largest == pytest.approx(0.01)
    assert not found.identical


def test_a_report_is_a_table_an_object_and_a_figure(strides: StrideResult, tmp_path: Path) -> None:
    paths = stride_report(strides).write(tmp_path)
    assert json.loads(paths["result"].read_text())["identical"] is True
    assert paths["table"].read_text().count("\n| ") == 2 + len(STRIDES)
    assert "prefill_stride" in paths["figure"].read_text()


def test_the_verb_prints_one_object(
    data: Path, out: Path, strides: StrideResult, monkeypatch: Any, capsys: Any
) -> None:
    """On the runs of the experiment above, which are complete."""
    from dsb.cli import app

    config = out / "config.json"
    content = make_config(data).model_dump(mode="json", exclude_defaults=True)
    config.with_suffix(".yaml").write_text(json.dumps(content))
    arguments = ["experiment", "stride", str(config.with_suffix(".yaml")), "--out", str(out)]
    arguments += ["--strides", "1,3", "--speeds", "1,1000", "--json"]
    monkeypatch.setattr(sys, "argv", ["dsb", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["prefill_stride"] for row in found["rows"]] == [1, 3]
    assert found["rows"][0]["run_dir"] == str(strides.rows[0].measured.run_dir)
    assert Path(found["paths"]["figure"]).is_file()


# -- the queue ---------------------------------------------------------------------------------------


def one_by_one(ingest: Ingest, frames: int, gap_ns: int) -> Backlog:
    """The same queue, one job after the other in whole nanoseconds."""
    jobs: list[tuple[int, int, int]] = []  # arrival, work, frames that are read after it
    chunk = ingest.span * ingest.stride
    for frame in range(1, frames + 1):
        if frame % ingest.span == 0:
            jobs.append((frame * gap_ns, int(ingest.span * ingest.encode_ns_per_frame), 0))
        if frame % chunk == 0:
            jobs.append((frame * gap_ns, int(chunk * ingest.prefill_ns_per_frame), chunk))
    read_at: list[tuple[int, int]] = []
    now = 0
    for arrival, work, read in jobs:
        now = max(now, arrival) + work
        read_at.append((now, read))
    waiting = []
    for frame in range(1, frames + 1):
        done = sum(read for at, read in read_at if at < (frame + 1) * gap_ns)
        waiting.append(frame - done)
    return Backlog(max(waiting), waiting[-1])


@given(
    st.integers(1, 2), st.integers(1, 4), st.integers(0, 9), st.integers(0, 9), st.integers(1, 30)
)
def test_the_backlog_is_that_of_a_queue_with_one_server(
    span: int, stride: int, encode: int, prefill: int, frames: int
) -> None:
    gap_ns = 5
    ingest = Ingest(span, stride, encode, prefill)
    rate = Fraction(1_000_000_000, gap_ns)
    assert backlog(ingest, frames, rate) == one_by_one(ingest, frames, gap_ns)
