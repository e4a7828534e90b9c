"""One run, from a configuration to a complete log: what `dsb run` does."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsb.benchmarks.grading import Delivered
from dsb.config.load import LoadedConfig
from dsb.errors import BudgetExceeded, RunError
from dsb.evaluation.display import QUIET, Display
from dsb.evaluation.executors.executor import Event, Executor, Job, SessionWork, Stepped
from dsb.evaluation.executors.local import LocalExecutor
from dsb.evaluation.plan import Plan, Skipped, plays_live
from dsb.evaluation.prepare import Prepared, prepare
from dsb.evaluation.progress import Count, Judge, Monitor
from dsb.evaluation.questions import Questions
from dsb.evaluation.relatives import relatives
from dsb.runlog.folder import SHORT, RunDir
from dsb.runlog.lock import RunLock
from dsb.runlog.log import read_segment
from dsb.runlog.records import Answered, SessionEnd
from dsb.runlog.run import Run

#: `complete`: nothing is left to play. `incomplete`: some sessions failed. `interrupted`: Ctrl-C.
#: `stopped`: too much failed.
State = Literal["complete", "incomplete", "interrupted", "stopped"]


@dataclass(frozen=True)
class RunResult:
    """What `execute` did."""

    run_dir: Path
    #: 32 hex digits; the first 8 are part of the folder's name.
    identity: str
    sessions: Count
    queries: Count
    skipped: tuple[Skipped, ...] = ()
    state: State = "complete"
    #: Why the run was stopped.
    reason: str = ""
    #: It played a live source, which does not come again: nothing can be repeated.
    live: bool = False

    @property
    def identity8(self) -> str:
        """The part of the identity that people see."""
        return self.identity[:SHORT]


def execute(
    loaded: LoadedConfig,
    *,
    resume: bool = False,
    fresh: bool = False,
    display: Display = QUIET,
    executor: Executor | None = None,
) -> RunResult:
    """Play every session of a run that is not complete yet; `display` hears how it goes.

    * The run does not exist: it is begun.
    * It is complete: it is reused, nothing is played; with `resume`, sessions with failed queries
      are played again.
    * It is incomplete: `resume` plays what is missing. Without it and with at least one complete
      session the call is refused, so that nobody continues or repeats hours of work by accident.
    * A live source does not come again: a session on it that has ended stays as it is, and one that
      was killed after its first answer can only be begun anew with `fresh`.
    * `fresh` renames what is there to `<folder>.old-<n>` and begins anew.

    Ctrl-C leaves a run that can be resumed and is told in the result's `state`, not raised.

    Raises:
        ConfigError, BenchmarkError, RegistryError, DecoderNotFound: the run cannot begin.
        ModelError, MissingDependency: likewise; or, with the folder made already and nothing
            played, a model cannot be loaded. The same call may be made again.
        RunError: another process has the folder, it cannot be written, or `resume` or
            `fresh` is missing.
    """
    if resume and fresh:
        raise RunError("`--resume` and `--fresh` exclude each other; give one of them")
    config, tell = loaded.config, display.note
    prepared = prepare(config, display.bring)
    for note in prepared.notes:
        tell(note)
    run = RunDir.of(config, prepared.identity)
    if fresh and (aside := _set_aside(run)):
        tell(f"the earlier run was moved to {aside}")
    if resume and not run.exists:
        tell(f"there is no run {run.path} to go on with; it is begun")
        for line in relatives(run, prepared.manifest["identity_fields"]):
            tell(line)
    run.create()
    with RunLock(run.path) as lock:
        if lock.message:
            tell(lock.message)
        live = plays_live(config)
        # The folder may hold no run yet.
        before = Run(run.path)
        todo = _Todo.of(before, prepared.plan, resume=resume, live=live)
        if live:
            _refuse_to_replace(before, todo)
        todo.refuse_by_accident(run.path, resume=resume)
        run.prepare(loaded, prepared.manifest, prepared.questions.items)
        if todo.reused:
            tell(f"the run is complete and is reused: {run.path}; `--fresh` runs it again")
        return _play(prepared, todo, run.path, display, executor or LocalExecutor())


@dataclass(frozen=True)
class _Todo:
    """What is left to play."""

    works: tuple[SessionWork, ...]
    done: dict[str, SessionEnd]

    @classmethod
    def of(cls, run: Run, plan: Plan, *, resume: bool, live: bool) -> _Todo:
        known = {session.id for session in plan.sessions}
        done = {
            name: each.end
            for name, each in run.done.items()
            if each.end is not None and name in known
        }
        if resume and not live:
            done = {name: end for name, end in done.items() if end.queries_failed == 0}
        numbers = Counter[str]()
        for each in run.attempts:
            numbers[each.session] = max(numbers[each.session], each.number)
        works = tuple(
            SessionWork(session, numbers[session.id] + 1)
            for session in plan.sessions
            if session.id not in done
        )
        return cls(works, done)

    @property
    def reused(self) -> bool:
        """Everything is there already."""
        return bool(self.done) and not self.works

    def refuse_by_accident(self, run_dir: Path, *, resume: bool) -> None:
        if self.done and self.works and not resume:
            raise RunError(
                f"{run_dir} holds this run with {len(self.done)} complete sessions and "
                f"{len(self.works)} to play; continue it with `--resume`, or begin anew with "
                "`--fresh`"
            )


def _refuse_to_replace(run: Run, todo: _Todo) -> None:
    """What a killed session on a live source was told must not be replaced unasked."""
    left = {work.plan.id for work in todo.works}
    for each in run.attempts:
        if each.session in left and not each.complete:
            said = sum(isinstance(record, Answered) for record in read_segment(each.segment))
            if said:
                raise RunError(
                    f"{each.segment} holds {said} answers about {each.session}, which was killed; "
                    "a live source does not come again. `--fresh` keeps the folder under another "
                    "name and begins anew"
                )


def _play(
    prepared: Prepared,
    todo: _Todo,
    run_dir: Path,
    display: Display,
    executor: Executor,
) -> RunResult:
    """Play what is left."""
    plan, config = prepared.plan, prepared.config
    if todo.works and any(model.compile for model in config.models.values()):
        display.note("the model is compiled first (model.compile), which may take minutes")
    total = sum(work.plan.work for work in todo.works)
    judge = _judge(prepared.questions)
    monitor = Monitor(*_counts(plan, todo), total, config.output, display.progress, judge)

    def on_event(event: Event) -> None:
        session = event.work.plan
        if isinstance(event, Stepped):
            monitor.step(session.id, session.work, len(session.items), event.tally)
            return
        monitor.finish(event.outcome, session.work, len(session.items))
        if event.outcome.interrupted:
            raise KeyboardInterrupt

    state: State = "complete"
    reason = ""
    try:
        executor.run(Job(config, prepared.decoder, run_dir), todo.works, on_event)
    except KeyboardInterrupt:
        state, reason = "interrupted", _interrupted(prepared)
    except BudgetExceeded as error:
        state, reason = "stopped", str(error)
    done = monitor.progress
    if state == "complete" and done.sessions.failed:
        state = "incomplete"
        reason = f"sessions failed, the last with {monitor.last_error}"
    return RunResult(
        run_dir,
        prepared.identity,
        done.sessions,
        done.queries,
        plan.skipped,
        state,
        reason,
        plays_live(config),
    )


def _interrupted(prepared: Prepared) -> str:
    if plays_live(prepared.config):
        return "interrupted; the answers until then count, a live source does not come again"
    return "interrupted; continue with `--resume`"


def _judge(questions: Questions) -> Judge:
    """For the running score. It stands outside the sessions: no system or router can reach it."""
    gold = {item.id: item for item in questions.items if item.scored and item.triggers_s is None}

    def judge(item: str, text: str) -> float | None:
        if item not in gold:
            return None
        delivered = Delivered(text=text)
        return questions.benchmark.grade(questions.protocol, gold[item], delivered).score

    return judge


def _counts(plan: Plan, todo: _Todo) -> tuple[Count, Count]:
    good = sum(end.queries_done for end in todo.done.values())
    bad = sum(end.queries_failed for end in todo.done.values())
    sessions = Count(len(plan.sessions), len(todo.done), 0, len(todo.done))
    return sessions, Count(plan.queries, good, bad, good + bad)


def _set_aside(run: RunDir) -> Path | None:
    """Move the folder away, unless somebody is working in it."""
    if not run.path.exists():
        return None
    with suppress(FileNotFoundError), RunLock(run.path):
        pass
    return run.set_aside()
