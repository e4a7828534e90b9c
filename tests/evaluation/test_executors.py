"""What an executor gives to its workers, and what comes back, crosses the border of a process."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import sessions
import videos
from children import run
from dsb.analysis.summary.score import score_run
from dsb.benchmarks.layout import write_layout
from dsb.config.load import LoadedConfig
from dsb.config.schema import RunConfig
from dsb.evaluation.executors.executor import Executor, Job, OnEvent, SessionWork
from dsb.evaluation.executors.local import LocalExecutor
from dsb.evaluation.run import RunResult, execute
from dsb.runlog.log import attempts, segments
from dsb.runlog.run import open_run
from random_checkpoints import write_checkpoint

torch.set_num_threads(1)


#: A worker of its own process: everything comes and goes as bytes.
WORKER = """
import pickle, sys
from pathlib import Path
from dsb.evaluation.executors.worker import play_all

job, works = pickle.loads(Path(sys.argv[1]).read_bytes())
with Path(sys.argv[2]).open("wb") as sent:
    play_all(job, works, "w7", lambda event: pickle.dump(event, sent))
"""


@dataclass(frozen=True)
class OneChild:
    """Plays everything in one other process."""

    folder: Path
    """Where what is given to it and what comes back is written."""

    def run(self, job: Job, works: Sequence[SessionWork], on_event: OnEvent) -> None:
        given, sent = self.folder / "given", self.folder / "sent"
        given.write_bytes(pickle.dumps((job, list(works))))
        done = run([sys.executable, "-c", WORKER, given, sent], text=True)
        assert done.returncode == 0, done.stderr
        with sent.open("rb") as events, contextlib.suppress(EOFError):
            while True:
                on_event(pickle.load(events))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    folder = tmp_path_factory.mktemp("data")
    items = []
    for make in (videos.constant, videos.ntsc):
        name = make(folder).path.name
        items += [sessions.question(f"{name}-q{k}", 0.5 + k, name) for k in range(2)]
        items.append(sessions.instruction(f"{name}-w", 0.5, 2.5, name))
    write_layout(folder, items)
    write_checkpoint(folder / "model", "qwen2_5_vl")
    return sessions.make_config(
        folder, model={"path": str(folder / "model"), "device": "cpu", "threads": 1}
    )


def run_with(executor: Executor, config: RunConfig, folder: Path) -> RunResult:
    output = config.output.model_copy(update={"dir": str(folder)})
    loaded = LoadedConfig(config.model_copy(update={"output": output}), {})
    return execute(loaded, executor=executor)


def test_a_worker_in_another_process_finds_what_one_in_this_process_finds(
    config: RunConfig, tmp_path: Path
) -> None:
    here = run_with(LocalExecutor(), config, tmp_path / "here")
    there = run_with(OneChild(tmp_path), config, tmp_path / "there")
    assert (there.state, there.identity) == ("complete", here.identity)
    assert (there.sessions, there.queries) == (here.sessions, here.queries)
    assert [path.name for path in segments(there.run_dir)] == ["w7-0.jsonl"]
    assert score_run(open_run(there.run_dir)).scores == score_run(open_run(here.run_dir)).scores


def test_a_complete_run_is_reused_without_loading_a_model(
    config: RunConfig, tmp_path: Path
) -> None:
    first = run_with(LocalExecutor(), config, tmp_path)

    class NoWork(LocalExecutor):
        def run(self, job: Job, works: Sequence[SessionWork], on_event: OnEvent) -> None:
            assert works == ()

    second = run_with(NoWork(), config, tmp_path)
    assert (second.run_dir, second.state) == (first.run_dir, "complete")
    assert len(attempts(first.run_dir)) == first.sessions.total
