"""A run is begun once, continued on purpose, never mixed with another, and says what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import sessions
import videos
from dsb.benchmarks.item import load_items
from dsb.benchmarks.layout import write_layout
from dsb.config.load import LoadedConfig
from dsb.config.schema import CacheConfig, ModelConfig, RunConfig
from dsb.errors import ModelError, OutOfMemory, RunError
from dsb.evaluation.display import Quiet
from dsb.evaluation.executors.executor import Job, OnEvent, SessionWork
from dsb.evaluation.executors.local import LocalExecutor
from dsb.evaluation.prepare import prepare
from dsb.evaluation.progress import Progress
from dsb.evaluation.run import RunResult, execute
from dsb.models.backend import BackendKind
from dsb.models.build import BACKENDS
from dsb.models.local.backend import LOCAL
from dsb.runlog.completeness import check_run
from dsb.runlog.log import attempts, segments
from dsb.runlog.run import open_run
from random_checkpoints import write_checkpoint

torch.set_num_threads(1)

#: (system, key) -> errors that the model of the test raises before it answers.
FAILURES: dict[tuple[str, str], list[BaseException]] = {}
BACKENDS.register("failing", f"{__name__}:FAILING")


def as_qwen(model: ModelConfig) -> ModelConfig:
    return model.model_copy(update={"backend": "qwen"})


def open_failing(model: ModelConfig, cache: CacheConfig) -> sessions.Spy:
    if UNLOADABLE:
        raise UNLOADABLE.pop()
    spy = sessions.Spy(LOCAL.open(as_qwen(model), cache))
    spy.failures.update(FAILURES)
    return spy


#: Raised when the model of the test is loaded, one per call.
UNLOADABLE: list[BaseException] = []


FAILING = BackendKind(
    open_failing,
    lambda model, cache: LOCAL.identify(as_qwen(model), cache) | {"backend": "failing"},
)


@pytest.fixture(autouse=True)
def _healthy() -> Iterator[None]:
    FAILURES.clear()
    UNLOADABLE.clear()
    yield
    FAILURES.clear()
    UNLOADABLE.clear()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    items = []
    for make in (videos.constant, videos.ntsc, videos.b_frames):
        name = make(folder).path.name
        items += [sessions.question(f"{name}-q{k}", 0.5 + k, name) for k in range(2)]
        items.append(sessions.instruction(f"{name}-w", 0.5, 2.5, name))
    write_layout(folder, items)
    write_checkpoint(folder / "model", "qwen2_5_vl")
    return folder


@pytest.fixture
def config(data: Path, tmp_path: Path) -> RunConfig:
    model = {"backend": "failing", "path": str(data / "model"), "device": "cpu", "threads": 1}
    return sessions.make_config(data, model=model, output={"dir": str(tmp_path / "results")})


class Told(Quiet):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.seen: list[Progress] = []

    def progress(self, now: Progress) -> None:
        self.seen.append(now)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Interrupted(LocalExecutor):
    """Ctrl-C after the first session."""

    def run(self, job: Job, works: Sequence[SessionWork], on_event: OnEvent) -> None:
        super().run(job, works[:1], on_event)
        raise KeyboardInterrupt


def begin(config: RunConfig, **how: Any) -> RunResult:
    return execute(LoadedConfig(config, {}), **how)


def test_a_run_answers_everything_and_says_so(config: RunConfig) -> None:
    result = begin(config)
    assert result.state == "complete"
    assert (result.sessions.total, result.sessions.done, result.sessions.failed) == (3, 3, 0)
    assert (result.queries.total, result.queries.done, result.queries.failed) == (9, 9, 0)
    assert result.run_dir.name == f"run-{result.identity[:8]}"
    assert check_run(open_run(result.run_dir)).complete


def test_a_complete_run_is_reused(config: RunConfig) -> None:
    first = begin(config)
    told = Told()
    second = begin(config, display=told)
    assert second.run_dir == first.run_dir
    assert (second.sessions.resumed, second.queries.resumed) == (3, 9)
    assert len(segments(first.run_dir)) == 1
    assert any("reused" in message for message in told.notes)


def test_an_interrupted_run_is_not_continued_by_accident(config: RunConfig) -> None:
    begun = begin(config, executor=Interrupted())
    assert begun.state == "interrupted"
    assert begun.sessions.done == 1
    with pytest.raises(RunError, match=r"(?s)1 complete.*--resume.*--fresh"):
        begin(config)


def test_resume_plays_only_what_is_missing(config: RunConfig) -> None:
    begin(config, executor=Interrupted())
    result = begin(config, resume=True)
    assert result.state == "complete"
    assert (result.sessions.done, result.sessions.resumed) == (3, 1)
    assert (result.queries.done, result.queries.resumed) == (9, 3)
    assert [each.number for each in attempts(result.run_dir)] == [1, 1, 1]


def test_fresh_sets_the_earlier_run_aside_and_deletes_nothing(config: RunConfig) -> None:
    first = begin(config, executor=Interrupted())
    log = segments(first.run_dir)[0].read_bytes()
    for number in (1, 2):
        result = begin(config, fresh=True)
        assert result.sessions.resumed == 0
        assert first.run_dir.with_name(f"{first.run_dir.name}.old-{number}").is_dir()
    aside = first.run_dir.with_name(f"{first.run_dir.name}.old-1")
    assert segments(aside)[0].read_bytes() == log


def test_resume_and_fresh_exclude_each_other(config: RunConfig) -> None:
    with pytest.raises(RunError, match="exclude each other"):
        begin(config, resume=True, fresh=True)


def test_a_model_that_cannot_be_loaded_leaves_a_run_that_the_same_call_begins(
    config: RunConfig,
) -> None:
    UNLOADABLE.append(OutOfMemory("no room for the weights"))
    with pytest.raises(OutOfMemory, match="no room for the weights"):
        begin(config)
    assert begin(config).state == "complete"


def test_ctrl_c_while_the_model_is_loaded_leaves_a_run_that_is_begun_again(
    config: RunConfig,
) -> None:
    UNLOADABLE.append(KeyboardInterrupt())
    stopped = begin(config)
    assert (stopped.state, stopped.sessions.done) == ("interrupted", 0)
    assert begin(config, resume=True).state == "complete"


def test_a_resume_that_finds_nothing_says_what_it_has_missed(config: RunConfig) -> None:
    first = begin(config)
    told = Told()
    other = config.model_copy(update={"seed": 1})
    assert begin(other, resume=True, display=told).run_dir != first.run_dir
    (line,) = [note for note in told.notes if "is another run" in note]
    assert line == f"{first.run_dir} is another run: seed is 0 there and 1 here"


def test_another_configuration_is_another_run(config: RunConfig) -> None:
    other = config.model_copy(update={"seed": 1})
    assert begin(config).run_dir != begin(other).run_dir


def test_other_rules_under_the_same_name_are_another_run(config: RunConfig, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    scheduler = {"router": {"name": "rule", "settings": {"rules": str(rules)}}}
    values = config.model_dump(mode="json")
    values["system"]["scheduler"] = scheduler
    ruled = RunConfig.model_validate(values)
    found = []
    for route in ("s1", "s2"):
        rules.write_text(f"rules: [{{pattern: now, route: {route}}}]")
        found.append(prepare(ruled).identity)
    assert found[0] != found[1]


def test_a_folder_of_another_identity_is_refused(config: RunConfig) -> None:
    run_dir = begin(config).run_dir
    manifest = json.loads((run_dir / "manifest.json").read_text())
    (run_dir / "manifest.json").write_text(json.dumps({**manifest, "identity": "0" * 32}))
    with pytest.raises(RunError, match="holds a run of identity 0000"):
        begin(config)


def test_a_folder_that_cannot_be_written_is_named(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(RunError, match=r"cannot write .*results.*output\.dir"):
        begin(config)


def test_too_many_failures_stop_a_run_early(config: RunConfig) -> None:
    FAILURES.update({("s2", f"ntsc.mp4-q{k}"): [ModelError("no")] for k in range(2)})
    FAILURES.update({("s2", f"constant.mp4-q{k}"): [ModelError("no")] for k in range(2)})
    FAILURES.update({("s2", f"b_frames.mp4-q{k}"): [ModelError("no")] for k in range(2)})
    result = begin(config)
    assert result.state == "stopped"
    assert "output.max_errors: 0.2" in result.reason
    assert result.sessions.done == 0
    assert result.queries.failed == 2
    assert "last error: ModelError: no" in check_run(open_run(result.run_dir)).text()


def test_a_few_failures_are_tolerated_and_resume_tries_them_again(config: RunConfig) -> None:
    FAILURES["s2", "ntsc.mp4-q0"] = [ModelError("no")]
    result = begin(config)
    assert result.state == "complete"
    assert (result.queries.done, result.queries.failed) == (8, 1)
    checked = check_run(open_run(result.run_dir))
    assert not checked.complete
    assert [(f.query, f.system, f.type) for f in checked.failed] == [
        ("ntsc.mp4-q0", "s2", "ModelError")
    ]
    FAILURES.clear()
    again = begin(config, resume=True)
    assert (again.queries.done, again.queries.failed, again.queries.resumed) == (9, 0, 6)
    assert check_run(open_run(result.run_dir)).complete


def test_a_failed_note_for_memory_is_no_failed_query(config: RunConfig) -> None:
    FAILURES["s1", "observation:1000000000"] = [ModelError("no")]
    memory = {"long_term": True, "write": ["observation"], "observe_every_s": 1.0}
    values = {**config.model_dump(mode="json"), "memory": memory}
    result = begin(RunConfig.model_validate(values))
    assert result.queries.failed == 0
    assert check_run(open_run(result.run_dir)).complete


def test_a_missing_video_fails_its_session_and_the_rest_is_done(
    config: RunConfig, data: Path, tmp_path: Path
) -> None:
    items = load_items(data / "final" / "all.json")
    items.append(sessions.question("lost", 1.0, "lost.mp4"))
    path = tmp_path / "items.json"
    from dsb.benchmarks.item import dump_items

    dump_items(items, path)
    dataset = config.dataset.model_copy(update={"benchmark": str(path)})
    result = begin(config.model_copy(update={"dataset": dataset}))
    assert result.state == "incomplete"
    assert (result.sessions.done, result.sessions.failed) == (3, 1)
    checked = check_run(open_run(result.run_dir))
    assert checked.missing == ("lost",)
    assert checked.unfinished == ("lost.mp4",)
    assert "lost.mp4 (last error: SourceError: " in checked.text()
    assert "SourceError: " in result.reason


def test_a_run_whose_windows_fit_no_budget_says_which_key(config: RunConfig) -> None:
    values = config.model_dump(mode="json")
    values["system"]["streaming_embed_cache"] |= {"reuse": "kv", "arena_bytes": 1000}
    result = begin(RunConfig.model_validate(values))
    assert result.state == "stopped"
    assert "streaming_embed_cache.arena_bytes is 1000" in result.reason


def test_a_lost_segment_is_noticed(config: RunConfig) -> None:
    run_dir = begin(config).run_dir
    segments(run_dir)[0].unlink()
    checked = check_run(open_run(run_dir))
    assert not checked.complete
    assert len(checked.missing) == 9


def test_an_answer_that_is_there_twice_is_noticed(config: RunConfig) -> None:
    run_dir = begin(config).run_dir
    path = segments(run_dir)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    (place, answer) = next(
        (place, line) for place, line in enumerate(lines) if b'"kind":"answer"' in line
    )
    path.write_bytes(b"".join([*lines[:place], answer, *lines[place:]]))
    assert check_run(open_run(run_dir)).doubled == (json.loads(answer)["query"],)


def test_the_folder_says_what_was_run_and_where_every_value_comes_from(config: RunConfig) -> None:
    result = execute(LoadedConfig(config, {"video.fps": "run.yaml:3"}))
    written = yaml.safe_load((result.run_dir / "run.yaml").read_text())
    assert RunConfig.model_validate(written["config"]) == config
    assert written["origins"] == {"video.fps": "run.yaml:3"}
    manifest = json.loads((result.run_dir / "manifest.json").read_text())
    assert manifest["identity"] == result.identity
    assert manifest["models"]["s1"]["weights_sha256"]
    assert len(manifest["ffmpeg"]["sha256"]) == 64
    assert manifest.keys() >= {"versions", "machine", "data", "seed", "clock", "protocol"}


def test_the_answers_are_kept_beside_the_log_for_scoring(config: RunConfig, data: Path) -> None:
    result = begin(config)
    gold = load_items(result.run_dir / "gold.json")
    assert gold == load_items(data / "final" / "all.json")


def test_progress_only_grows_and_ends_complete(config: RunConfig) -> None:
    told = Told()
    begin(config, display=told)
    seen = told.seen
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    done = [progress.queries.done for progress in seen]
    assert done == sorted(done)
    last = seen[-1]
    assert (last.sessions.done, last.queries.done) == (3, 9)
    assert last.routed["s1"] + last.routed["s2"] == 6
    assert last.played_s == pytest.approx(3 * 2.5)
    assert last.score is not None
    assert 0 <= last.score <= 1
