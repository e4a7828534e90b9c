"""What a run would do, without doing any of it: behind `dsb run --dry-run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsb.config.schema import BLIND, RunConfig
from dsb.evaluation.plan import SessionPlan, make_plan
from dsb.evaluation.questions import load_questions
from dsb.evaluation.session.agenda import last_moment_ns
from dsb.routing.build import build_routers


@dataclass(frozen=True)
class Preview:
    """The size of a run."""

    sessions: int
    #: Items per task, in the order of the benchmark.
    queries: dict[str, int]
    #: Items that no session can ask.
    skipped: int
    #: Stream seconds that will be played; an item that is asked on its own decode counts its own.
    played_s: float
    #: Frames at the sampling rate in that time.
    frames: int
    #: Ticks of all standing instructions.
    ticks: int
    #: Systems that answer each query, the blind control included.
    arms: tuple[str, ...]
    routers: tuple[str, ...]
    #: Synthetic streams that the run would make first.
    streams_to_make: int
    #: What the user should know before it begins.
    notes: tuple[str, ...]


def preview(config: RunConfig) -> Preview:
    """Plan a run. Nothing is written, no model is loaded.

    Raises what `load_questions` raises, and `SourceError` for a video that cannot be read.
    """
    routers = build_routers(config.system.scheduler)
    questions = load_questions(config, make_streams=False)
    plan = make_plan(config, questions.items, questions.protocol)
    tasks = Counter[str](item.task for item in questions.items)
    lengths_s = _Lengths(config)
    played = [_played_s(session, lengths_s) for session in plan.sessions]
    tick_s = float(config.system.proactive.tick_s)
    polled_s = sum(
        _polled_s(session, seconds) for session, seconds in zip(plan.sessions, played, strict=True)
    )
    return Preview(
        sessions=len(plan.sessions),
        queries=dict(tasks),
        skipped=len(plan.skipped),
        played_s=sum(played),
        frames=round(sum(played) * config.video.fps),
        ticks=round(polled_s / tick_s),
        arms=("s1", "s2", BLIND) if config.system.blind else ("s1", "s2"),
        routers=tuple(router.label for router in routers),
        streams_to_make=questions.streams_to_make,
        notes=tuple(questions.notes),
    )


class _Lengths:
    """Lengths of videos in seconds, `None` where nobody knows.

    That of a stream yet to be made follows from its level.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._known: dict[Path, float | None] = {}

    def of(self, video: Path) -> float | None:
        if video not in self._known:
            self._known[video] = self._measure(video)
        return self._known[video]

    def _measure(self, video: Path) -> float | None:
        synth = self._config.dataset.synth
        if synth is not None and not video.exists():
            from dsb.benchmarks.synth.levels import LEVELS

            return LEVELS[synth.level].duration_s
        from dsb.stream.probe import probe

        return probe(video, ffmpeg=self._config.video.ffmpeg).duration_s


def _played_s(session: SessionPlan, lengths_s: _Lengths) -> float:
    end_s = last_moment_ns(session, lengths_s.of) / 1e9
    if session.live:
        return end_s
    length_s = lengths_s.of(session.video)
    return end_s if length_s is None else min(end_s, length_s)


def _polled_s(session: SessionPlan, played_s: float) -> float:
    ends = [
        (
            instruction,
            played_s if instruction.stop_ns is None else min(instruction.stop_ns / 1e9, played_s),
        )
        for instruction in session.instructions
    ]
    return sum(max(0.0, end - instruction.question.t_ns / 1e9) for instruction, end in ends)


def describe(found: Preview) -> Sequence[tuple[str, str]]:
    """Label and value of everything that a reader wants to know before starting."""
    tasks = ", ".join(f"{task} {count}" for task, count in found.queries.items())
    rows = [
        ("sessions", f"{found.sessions}"),
        ("queries", f"{sum(found.queries.values())} ({tasks})"),
        ("stream time", f"{found.played_s / 3600:.2f} h, {found.frames} frames to decode"),
        ("ticks", f"{found.ticks} of standing instructions"),
        ("answers by", ", ".join(found.arms)),
        ("routers", ", ".join(found.routers)),
    ]
    if found.skipped:
        rows.append(("skipped", f"{found.skipped} queries that need what no session can give"))
    if found.streams_to_make:
        rows.append(("first", f"{found.streams_to_make} synthetic streams are made"))
    rows += [("note", note) for note in found.notes]
    return rows
