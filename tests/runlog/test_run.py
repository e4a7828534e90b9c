"""A run is looked at in one way; what is missing or damaged is one error with file and remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsb.config.schema import RunConfig
from dsb.errors import RunError
from dsb.runlog.completeness import check_run
from dsb.runlog.run import Run, open_run
from run_logs import Log, question, write_run, write_segment

ITEMS = [question(0), question(1)]


def attempt(session: str, item: str, number: int = 1) -> Log:
    """One question, answered; without its end."""
    log = Log([each for each in ITEMS if each.id == item], session, number)
    log.answer(item, "s1", f"try {number}")
    return log


def finished(session: str, item: str, number: int = 1) -> Log:
    log = attempt(session, item, number)
    log.end()
    return log


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", ITEMS, finished("a", "q0"), finished("b", "q1"))


def test_a_run_is_its_folder_its_manifest_its_configuration_and_its_log(run_dir: Path) -> None:
    run = open_run(run_dir)
    assert run.path == run_dir
    assert (run.manifest.identity_short, run.manifest.sessions) == ("12345678", 2)
    assert run.config == RunConfig()
    assert run.items == ITEMS
    assert [path.name for path in run.segments] == ["w0-0.jsonl", "w0-1.jsonl"]
    assert [(each.session, each.number) for each in run.attempts] == [("a", 1), ("b", 1)]
    assert run.done.keys() == {"a", "b"}
    assert {key: answer.text for key, answer in run.data.answers.items()} == {
        ("q0", "s1"): "try 1",
        ("q1", "s1"): "try 1",
    }


def test_of_a_session_the_last_complete_attempt_counts(run_dir: Path) -> None:
    write_segment(run_dir, finished("a", "q0", 2))
    write_segment(run_dir, attempt("a", "q0", 3))
    run = open_run(run_dir)
    assert len(run.attempts) == 4
    assert run.done["a"].number == 2
    assert run.data.answers["q0", "s1"].text == "try 2"


def test_what_was_read_is_kept_and_a_run_is_as_it_was_when_it_was_looked_at(run_dir: Path) -> None:
    run = open_run(run_dir)
    before = run.data
    write_segment(run_dir, finished("a", "q0", 2))
    assert run.data is before
    assert open_run(run_dir).data != before


def test_a_log_is_read_only_when_it_is_asked_for(run_dir: Path) -> None:
    run = open_run(run_dir)
    path = run.segments[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{}\n", *lines[1:]]))
    assert run.done.keys() == {"a", "b"}
    with pytest.raises(RunError, match=r"w0-0\.jsonl line 2 is damaged"):
        _ = run.data


def test_a_run_without_a_complete_session_is_empty_and_lacks_everything(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", ITEMS, attempt("a", "q0")))
    assert not run.done
    assert (run.data.asked, run.data.answers, run.data.ends) == ([], {}, {})
    checked = check_run(run)
    assert (checked.missing, checked.unfinished) == (("q0", "q1"), ("a",))
    assert checked.remedy.endswith("--resume")


@pytest.mark.parametrize("make", [Path, Path.mkdir], ids=["nothing", "an empty folder"])
def test_a_folder_without_a_run_says_so(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path / "none")
    with pytest.raises(RunError, match=r"none holds no run \(manifest\.json: .*`dsb run` wrote"):
        open_run(tmp_path / "none")


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"identity_short": "12345678"})])
def test_a_damaged_manifest_says_so_at_once(run_dir: Path, content: str) -> None:
    (run_dir / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=r"(?s)manifest\.json is damaged \(.*restore it.*--fresh"):
        open_run(run_dir)


def config_of(run: Run) -> object:
    return run.config


def items_of(run: Run) -> object:
    return run.items


@pytest.mark.parametrize(
    ("file", "part", "content"),
    [
        ("run.yaml", config_of, "config: ["),
        ("run.yaml", config_of, "origins: {}"),
        ("run.yaml", config_of, "a text"),
        ("run.yaml", config_of, "config: {video: {fps: fast}}"),
        ("gold.json", items_of, "["),
        ("gold.json", items_of, "{}"),
        ("gold.json", items_of, '[{"id": "q0"}]'),
    ],
)
def test_a_damaged_file_is_named_when_it_is_asked_for(
    run_dir: Path, file: str, part: Callable[[Run], object], content: str
) -> None:
    (run_dir / file).write_text(content)
    run = open_run(run_dir)
    with pytest.raises(RunError, match=rf"(?s){file} is damaged \(.*restore it.*--fresh"):
        part(run)


@pytest.mark.parametrize(("file", "part"), [("run.yaml", config_of), ("gold.json", items_of)])
def test_a_missing_file_is_named_when_it_is_asked_for(
    run_dir: Path, file: str, part: Callable[[Run], object]
) -> None:
    (run_dir / file).unlink()
    run = open_run(run_dir)
    with pytest.raises(RunError, match=rf"holds no run \({file}: .*`dsb run` wrote"):
        part(run)
