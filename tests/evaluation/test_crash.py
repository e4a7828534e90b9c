"""Nothing is lost: whatever kills a run, `--resume` ends with the results of an uninterrupted one.

The runs are real `dsb run` processes on real videos with a real, small model.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import yaml

import sessions
import videos
from children import Child
from dsb.analysis.summary.score import score_run
from dsb.benchmarks.layout import write_layout
from dsb.runlog.completeness import check_run
from dsb.runlog.log import attempts, segments
from dsb.runlog.records import SessionEnd
from dsb.runlog.run import open_run
from paths import SUPPORT
from random_checkpoints import write_checkpoint

SEED = 20260
#: Times that one run is killed before it may end.
KILLS = 8
#: Seconds after which a run that does not get on is a failure of the test; never reached.
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Process:
    """A `dsb` command that is running or has ended."""

    pid: int
    launcher: Child

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        assert self.launcher.stdout is not None
        return os.waitstatus_to_exitcode(int(self.launcher.stdout.readline()))


class Dsb:
    """Starts `dsb`."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output.txt"
        command = [sys.executable, SUPPORT / "launcher.py"]
        self._launcher = Child(command, stdin=PIPE, stdout=PIPE, text=True)

    def start(self, *argv: str) -> Process:
        """`dsb argv`."""
        assert self._launcher.stdin is not None
        assert self._launcher.stdout is not None
        self.output.unlink(missing_ok=True)
        command = {"argv": argv, "output": str(self.output)}
        print(json.dumps(command), file=self._launcher.stdin, flush=True)
        return Process(int(self._launcher.stdout.readline()), self._launcher)

    def run(self, *argv: str) -> int:
        """Exit status of `dsb argv`."""
        return self.start(*argv).wait()

    def __enter__(self) -> Dsb:
        return self

    def __exit__(self, *raised: object) -> None:
        self._launcher.__exit__(*raised)


@pytest.fixture(scope="module")
def dsb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dsb]:
    with Dsb(tmp_path_factory.mktemp("dsb")) as started:
        yield started


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos with questions, dialogues and standing instructions; a configuration; a model."""
    folder = tmp_path_factory.mktemp("world")
    items = []
    for make in (videos.constant, videos.variable, videos.ntsc, videos.b_frames):
        name = make(folder).path.name
        items += [sessions.question(f"{name}-{k}", 0.4 + 0.6 * k, name) for k in range(6)]
        chain = {"id": f"{name}-chain"}
        items += [sessions.turn(f"{name}-t{k}", k, 1.0 + k, name, **chain) for k in range(2)]
        items += [sessions.instruction(f"{name}-w{k}", 0.5 + k, 3.6, name) for k in range(2)]
    write_layout(folder, items)
    checkpoint = write_checkpoint(folder / "model", "qwen2_5_vl")
    config = sessions.make_config(
        folder,
        model={"path": str(checkpoint), "device": "cpu", "threads": 1},
        system={"scheduler": {"compare": [{"name": "rule"}]}},
        memory={"long_term": True},
    )
    values = config.model_dump(mode="json", exclude_defaults=True)
    (folder / "run.yaml").write_text(yaml.safe_dump(values))
    return folder


def command(world: Path, results: Path, *flags: str) -> list[str]:
    return ["run", str(world / "run.yaml"), "-s", f"output.dir={results}", *flags]


def the_run(results: Path) -> Path:
    (run_dir,) = (path for path in results.iterdir() if path.is_dir())
    return run_dir


@dataclass(frozen=True)
class Findings:
    """What a run found, without how long that took."""

    records: dict[str, list[dict[str, Any]]]
    scores: dict[str, dict[str, Any]]


MEASURED = {
    *("t_wall_ns", "wall_ns", "service_ns", "ttft_ns", "encode_ns", "prefill_ns", "decode_ns"),
    *("decode_wall_ns", "decode_cpu_ns", "model_ns", "s2_waiting", "s2_backlog_s", "attempt"),
}


def findings(run_dir: Path) -> Findings:
    records: dict[str, list[dict[str, Any]]] = {}
    for record in open_run(run_dir).records():
        records.setdefault(record.session, []).append(record.model_dump(exclude=MEASURED))
    summary = score_run(open_run(run_dir))
    scores = {
        task: {arm: cell.model_dump() for arm, cell in arms.items()}
        for task, arms in summary.scores.items()
    }
    return Findings(records, scores)


@pytest.fixture(scope="module")
def undisturbed(dsb: Dsb, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that nothing happened to."""
    results = tmp_path_factory.mktemp("undisturbed")
    assert dsb.run(*command(world, results)) == 0, dsb.output.read_text()
    return the_run(results)


def log_size(results: Path) -> int:
    return sum(path.stat().st_size for path in results.glob("*/log/*.jsonl"))


def kill_after(process: Process, results: Path, growth: int, delay_s: float) -> bool:
    """Kill -9 once the log has grown by `growth` bytes; whether the process was still there."""
    goal, deadline = log_size(results) + growth, time.monotonic() + PATIENCE_S
    while log_size(results) < goal:
        assert time.monotonic() < deadline
        if not alive(process.pid):
            break
        time.sleep(0.002)
    time.sleep(delay_s)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def tear(results: Path, rng: random.Random) -> None:
    """Cut the newest segment off inside its last line: what a power cut may do."""
    written = [path for each in results.iterdir() for path in segments(each)]
    if not written:
        return
    newest = max(written, key=lambda path: path.stat().st_mtime_ns)
    data = newest.read_bytes()
    if data:
        last = len(data.splitlines(keepends=True)[-1])
        newest.write_bytes(data[: -rng.randint(1, last)])


def test_killed_at_any_moment_a_run_ends_with_the_same_results(
    dsb: Dsb, world: Path, undisturbed: Path, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    whole = sum(path.stat().st_size for path in segments(undisturbed))
    # Anything from before the first record to a few sessions further.
    moments = [0, *(rng.randrange(whole // 2) for _ in range(KILLS - 1))]
    kills = 0
    for growth in moments:
        process = dsb.start(*command(world, tmp_path, "--resume"))
        kills += kill_after(process, tmp_path, growth, rng.uniform(0, 0.05))
        if rng.random() < 0.5:
            tear(tmp_path, rng)
    assert dsb.run(*command(world, tmp_path, "--resume")) == 0, dsb.output.read_text()
    run_dir = the_run(tmp_path)
    assert kills >= 3, "the run ended too early to be killed"
    assert len(attempts(run_dir)) > 4, "no session was ever interrupted"
    assert findings(run_dir) == findings(undisturbed)
    checked = check_run(open_run(run_dir))
    assert checked.complete, checked.text()


def test_a_killed_run_repeats_only_what_was_in_flight(
    dsb: Dsb, world: Path, undisturbed: Path, tmp_path: Path
) -> None:
    whole = sum(path.stat().st_size for path in segments(undisturbed))
    process = dsb.start(*command(world, tmp_path))
    assert kill_after(process, tmp_path, whole * 5 // 8, 0.0)
    run_dir = the_run(tmp_path)
    done = {each.session for each in attempts(run_dir) if each.complete}
    assert done
    assert dsb.run(*command(world, tmp_path, "--resume")) == 0
    again = [each.session for each in attempts(run_dir) if each.number > 1]
    assert len(again) <= 1
    assert done.isdisjoint(again)


def test_a_full_disk_stops_a_run_that_resumes_when_there_is_room(
    dsb: Dsb, world: Path, undisturbed: Path, tmp_path: Path
) -> None:
    whole = sum(path.stat().st_size for path in segments(undisturbed))
    process = dsb.start(*command(world, tmp_path))
    while log_size(tmp_path) < whole * 5 // 8 and alive(process.pid):
        time.sleep(0.002)
    # Not from the start: the ring of frames lives in a file in memory, which has the same limit.
    largest = (log_size(tmp_path) + 200, resource.RLIM_INFINITY)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, largest)
    assert process.wait() not in (0, 1)
    assert "make room" in " ".join(dsb.output.read_text().split())
    run_dir = the_run(tmp_path)
    assert 0 < sum(isinstance(record, SessionEnd) for record in open_run(run_dir).records()) < 4
    assert dsb.run(*command(world, tmp_path, "--resume")) == 0, dsb.output.read_text()
    assert findings(run_dir) == findings(undisturbed)


def test_ctrl_c_leaves_a_run_that_resumes(
    dsb: Dsb, world: Path, undisturbed: Path, tmp_path: Path
) -> None:
    whole = sum(path.stat().st_size for path in segments(undisturbed))
    process = dsb.start(*command(world, tmp_path))
    while log_size(tmp_path) < whole // 2 and alive(process.pid):
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130, dsb.output.read_text()
    run_dir = the_run(tmp_path)
    assert not (run_dir / "lock").exists()
    assert dsb.run(*command(world, tmp_path)) == 2
    assert "--resume" in dsb.output.read_text()
    assert dsb.run(*command(world, tmp_path, "--resume")) == 0, dsb.output.read_text()
    assert findings(run_dir) == findings(undisturbed)


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_one_plays(
    dsb: Dsb, world: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    process = dsb.start(*command(world, tmp_path))
    while not log_size(tmp_path) and alive(process.pid):
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGSTOP)
    with Dsb(tmp_path_factory.mktemp("other")) as other:
        assert other.run(*command(world, tmp_path, "--resume")) == 2
        assert f"in use by process {process.pid}" in " ".join(other.output.read_text().split())
    os.kill(process.pid, signal.SIGCONT)
    assert process.wait() == 0
