"""`dsb score`: rebuild `scores.jsonl` and `summary.json` from the log; no model is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from dsb.analysis.arm import S1, S2, Arm
from dsb.analysis.arms import arms, outcome
from dsb.analysis.grade import Graded, Grader
from dsb.analysis.statistics import FEW_CLUSTERS
from dsb.analysis.summary.schema import OVERALL, Live, QueryCounts, Summary, Work
from dsb.analysis.summary.tables import (
    confidence_auroc,
    cost_of,
    evidence_of,
    proactive_table,
    score_table,
    tradeoff_of,
)
from dsb.atomic import write_text
from dsb.benchmarks.item import TASKS, Item
from dsb.benchmarks.protocol import Protocol
from dsb.errors import ReportError
from dsb.runlog.run import Run
from dsb.runlog.run_data import RunData

SCORES = "scores.jsonl"
SUMMARY = "summary.json"


def score_run(run: Run) -> Summary:
    """Grade every item of every arm, write `scores.jsonl` and `summary.json`, return the summary.

    Raises:
        ReportError: no session of the run is complete.
        RegistryError, ConfigError: its benchmark or protocol is not installed here.
        RunError: a file of the run is missing or damaged.
    """
    grader = Grader.of(run.config)
    if not run.done:
        raise ReportError(
            f"no session of {run.path} is complete yet; continue the run with `--resume`"
        )
    graded = grade_run(run.data, grader)
    summary = summarize(run, graded, grader.protocol)
    rows = [each.row for of_arm in graded.values() for each in of_arm]
    write_text(run.path / SCORES, "".join(row.model_dump_json() + "\n" for row in rows))
    write_text(run.path / SUMMARY, summary.model_dump_json(by_alias=True, indent=1) + "\n")
    return summary


def read_summary(run_dir: Path) -> Summary:
    """The summary that `score_run` wrote. Raises `ReportError` when there is none or it is damaged."""
    path = run_dir / SUMMARY
    try:
        return Summary.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}; run `dsb score {run_dir}` first") from error
    except ValidationError as error:
        raise ReportError(f"{path} is damaged; rebuild it with `dsb score {run_dir}`") from error


def grade_run(data: RunData, grader: Grader) -> dict[Arm, list[Graded]]:
    """Every scored item of every arm."""
    scored = [data.items[item] for item in data.asked if data.items[item].scored]
    return {arm: [grader.grade(outcome(data, item, arm)) for item in scored] for arm in arms(data)}


def summarize(run: Run, graded: Mapping[Arm, Sequence[Graded]], protocol: Protocol) -> Summary:
    """Everything that the grades say, with intervals."""
    data, seed, names = run.data, run.config.seed, list(graded)
    rows = [each.row for of_arm in graded.values() for each in of_arm]
    scored = [data.items[item] for item in data.asked if data.items[item].scored]
    videos = len({item.video for item in scored})
    return Summary(
        run=run.path.name,
        identity=run.manifest.identity_short,
        protocol=protocol.name,
        mode=run.config.stream.mode,
        videos=videos,
        queries=_counts(data),
        scores=score_table(rows, names, protocol, seed, with_failed=False),
        scores_all=score_table(rows, names, protocol, seed, with_failed=True),
        proactive=proactive_table(graded, protocol, seed),
        chance=_chance(scored),
        costs={
            str(arm): cost_of([each.outcome for each in of_arm], seed)
            for arm, of_arm in graded.items()
        },
        evidence={
            arm.name: evidence_of(data, rows, arm.name, seed) for arm in names if arm in (S1, S2)
        },
        confidence_auroc=confidence_auroc(graded),
        tradeoff=tradeoff_of(graded),
        work=_work(data),
        live=_live(data),
        warnings=_warnings(data, videos),
    )


def _counts(data: RunData) -> QueryCounts:
    failed = {item for item, _ in data.failures} & set(data.asked)
    total = len(set(data.asked))
    return QueryCounts(total=total, done=total - len(failed), failed=len(failed))


def _chance(items: Sequence[Item]) -> dict[str, float]:
    """Expected score of a uniform guess; a standing instruction that guesses is not rewarded."""
    chance: dict[str, float] = {}
    for task in TASKS:
        known = [item.chance for item in items if item.task == task and item.chance is not None]
        if known:
            chance[task] = sum(known) / len(known)
    questions = [item.chance for item in items if item.chance is not None]
    if questions and len(questions) == len(items):
        chance[OVERALL] = sum(questions) / len(questions)
    return chance


def _work(data: RunData) -> Work:
    ends = list(data.ends.values())
    return Work(
        sessions=len(ends),
        stream_seconds=sum(end.played_ns for end in ends) / 1e9,
        wall_seconds=sum(end.wall_ns for end in ends) / 1e9,
        frames_decoded=sum(end.frames_decoded for end in ends),
        frames_encoded=sum(end.frames_encoded for end in ends),
        frames_provisional=sum(end.frames_provisional for end in ends),
        model_calls=sum(end.model_calls for end in ends),
        decode_seconds=sum(end.decode_cpu_ns for end in ends) / 1e9,
        model_seconds=sum(end.model_ns for end in ends) / 1e9,
    )


def _live(data: RunData) -> Live | None:
    # A live source is played in one session.
    figures = next((end.live for end in data.ends.values() if end.live is not None), None)
    if figures is None:
        return None
    window = (figures.window_p50_ns, figures.window_p95_ns)
    window_p50_ms, window_p95_ms = (None if delay is None else delay / 1e6 for delay in window)
    return Live(
        frames_come=figures.frames_come,
        frames_dropped=figures.frames_dropped,
        gaps=figures.gaps,
        gap_seconds=figures.gap_ns / 1e9,
        ring_p50_ms=figures.ring_p50_ns / 1e6,
        ring_p95_ms=figures.ring_p95_ns / 1e6,
        window_p50_ms=window_p50_ms,
        window_p95_ms=window_p95_ms,
    )


def _warnings(data: RunData, videos: int) -> tuple[str, ...]:
    found = []
    if videos < FEW_CLUSTERS:
        found.append(
            f"only {videos} video{'' if videos == 1 else 's'}: percentile intervals are too narrow "
            f"below {FEW_CLUSTERS}; add videos before comparing systems that are close"
        )
    damaged = [end.decode_errors for end in data.ends.values() if end.decode_errors]
    if damaged:
        found.append(
            f"damaged pictures were concealed in {len(damaged)} of {len(data.ends)} sessions "
            f"({sum(damaged)} errors of the decoder, `decode_errors` in the log); "
            "`dsb data validate` names the files"
        )
    unknown = sum(state == "unknown" for ticks in data.ticks.values() for state in ticks.states)
    if unknown:
        found.append(f"{unknown} ticks are unknown (their frame was not processed)")
    if data.failures:
        found.append(
            f"{len(data.failures)} answers failed; `scores` leaves them out, `scores_all` counts them as wrong"
        )
    return tuple(found)
