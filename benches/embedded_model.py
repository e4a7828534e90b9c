"""Measure a model folder on held-out synthetic streams, through real mp4 files.

    python benches/embedded_model.py [FOLDER] --duration 120 --streams 40 --json rows.json

Every stream is rendered, encoded as H.264 (224 x 224, 8 fps) and decoded by the core at 1 fps and
56 x 56. S2 sees all frames up to a question, S1 the last 8, blind one black unit. Scores are exact
matches of the greedy first token; intervals resample whole streams. FOLDER defaults to the model
that ships with the package.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from dsb.analysis.statistics import auroc, mean, ratio
from dsb.benchmarks.scoring.alerts import alerts
from dsb.benchmarks.scoring.events import RULES, Target, score_events
from dsb.benchmarks.synth.fair import Fair, select_questions
from dsb.benchmarks.synth.question import Question
from dsb.benchmarks.synth.render import render
from dsb.benchmarks.synth.standing import Standing, standing
from dsb.benchmarks.synth.video import write_video
from dsb.benchmarks.synth.world import FIRST_HELD_OUT_SEED, Stream, make_stream
from dsb.models.tiny import embedded_path
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source
from rows import Row, write_rows

SUBJECTS = ("s1", "s2", "blind")
TASKS = ("realtime", "clue", "reasoning", "sequential")
#: How long before the question its evidence begins.
LOOK_BACK_S = ((0, 8), (8, 20), (20, 40), (40, 80), (80, 160), (160, 300))
#: S2 is asked where S1's probability lies below this.
CASCADE_THRESHOLDS = (0.5, 0.7, 0.9, 0.95)


@dataclass(frozen=True)
class Job:
    """One stream of the measurement."""

    folder: Path
    stream: Stream
    questions: list[Question]
    fps: float


@dataclass(frozen=True)
class Result:
    """What the subjects said about one question."""

    cluster: str
    task: str
    kind: str
    format: str
    chance: float
    look_back_s: float
    right: dict[str, bool]
    probability: dict[str, float]


@dataclass(frozen=True)
class Instruction:
    """How the subjects kept one standing instruction."""

    cluster: str
    kind: str
    triggers: int
    hits: dict[str, int]
    alerts: dict[str, int]


def decode(stream: Stream, fps: float) -> Any:
    """Render, encode and decode a stream: (n, 56, 56, 3) uint8."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{stream.seed}.mp4"
        write_video(stream, path)
        count = int(stream.duration_s * fps)
        request = DecodeRequest(path, Fraction(fps), (56, 56), threads=1)
        with open_source(request, capacity=count + 8) as source:
            if not source.frames.wait(count - 1, timeout_s=600):
                raise RuntimeError(f"seed {stream.seed}: fewer than {count} frames")
            with source.frames.window(0, count) as window:
                return np.asarray(window).copy()


@functools.cache
def _model(folder: Path) -> Any:
    """The model of this worker, loaded once."""
    import torch
    from transformers.utils import logging

    from dsb.models.tiny.answering import load_model

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    return load_model(folder)


def ask_all(job: Job, frames: Any, asked: Sequence[Any]) -> dict[str, list[Any]]:
    """The answers of every subject to `asked`."""
    from dsb.models.tiny.answering import PackedAnswerer

    answerer = PackedAnswerer(_model(job.folder), job.fps)
    return {
        "s1": answerer.with_recent_frames(frames, asked),
        "s2": answerer.with_all_frames(frames, asked),
        "blind": answerer.blind(asked),
    }


def measure(job: Job) -> tuple[list[Result], list[Instruction], float]:
    """Ask every question and poll every instruction of one stream."""
    from dsb.models.tiny.answering import Asked
    from dsb.models.tiny.prompts import question_ids

    frames = decode(job.stream, job.fps)
    exact = render(job.stream, [i / job.fps for i in range(len(frames))])
    difference = float(np.abs(frames.astype(float) - exact).mean())

    asked = [Asked(question_ids(q), round(q.ask_time_s * job.fps)) for q in job.questions]
    kept = standing(job.stream, job.fps)
    for one in kept:
        poll = question_ids(_poll(one))
        asked += [Asked(poll, one.start + i) for i in range(len(one.truth))]
    said = ask_all(job, frames, asked)
    results = [_result(job, i, q, said) for i, q in enumerate(job.questions)]
    instructions, at = [], len(job.questions)
    for one in kept:
        polls = slice(at, at + len(one.truth))
        instructions.append(_instruction(job, one, {s: said[s][polls] for s in SUBJECTS}))
        at = polls.stop
    return results, instructions, difference


def _poll(one: Standing) -> Question:
    return Question("proactive", one.condition.kind, one.condition.instruction, "no", "yes_no", 0.0)


def _result(job: Job, index: int, question: Question, said: dict[str, list[Any]]) -> Result:
    from dsb.models.tiny.vocabulary import VOCABULARY

    truth = VOCABULARY[question.reply]
    first = min((start for start, _ in question.evidence_s), default=question.ask_time_s)
    return Result(
        cluster=str(job.stream.seed),
        task=question.task,
        kind=question.kind,
        format=question.format,
        chance=question.chance,
        look_back_s=question.ask_time_s - first,
        right={s: said[s][index].token == truth for s in SUBJECTS},
        probability={s: said[s][index].probability for s in SUBJECTS},
    )


def _instruction(job: Job, one: Standing, said: dict[str, list[Any]]) -> Instruction:
    from dsb.models.tiny.vocabulary import VOCABULARY

    hits, raised = {}, {}
    targets = [Target.at(frame / job.fps) for frame in one.triggers]
    ticks_s = [(one.start + i) / job.fps for i in range(len(one.truth))]
    for subject in SUBJECTS:
        yes = [float(answer.token == VOCABULARY["yes"]) for answer in said[subject]]
        emissions = alerts(ticks_s, yes, once=one.condition.once)
        counts = score_events(emissions, targets, RULES["f1_1s"], (ticks_s[0], ticks_s[-1]))
        raised[subject], hits[subject] = counts.emissions, counts.matched
    return Instruction(str(job.stream.seed), one.condition.kind, len(targets), hits, raised)


def _groups(results: Sequence[Result]) -> dict[str, Callable[[Result], bool]]:
    """Every line of the accuracy table: its name and which results belong to it."""
    groups: dict[str, Callable[[Result], bool]] = {}
    for task in TASKS:
        groups[task] = lambda r, t=task: r.task == t
        for form in ("open", "choice", "yes_no"):
            groups[f"{task} {form}"] = lambda r, t=task, f=form: (r.task, r.format) == (t, f)
        for kind in sorted({r.kind for r in results if r.task == task}):
            groups[f"{task}/{kind}"] = lambda r, t=task, k=kind: (r.task, r.kind) == (t, k)
    for first, last in LOOK_BACK_S:
        name = f"look-back {first}-{last} s"
        groups[name] = lambda r, a=first, b=last: r.format != "yes_no" and a <= r.look_back_s < b
    groups["all"] = lambda r: True
    return groups


def score_rows(
    results: Sequence[Result], instructions: Sequence[Instruction], duration_s: float
) -> list[Row]:
    """Accuracy per task, format and kind, F1, the router's figures."""
    label, rows = f"{duration_s:g}s", []
    for name, belongs in _groups(results).items():
        rows += _accuracy_rows(f"{label} {name}", [r for r in results if belongs(r)])
    for kind in ("", *sorted({i.kind for i in instructions})):
        chosen = [i for i in instructions if kind in ("", i.kind)]
        name = f"proactive/{kind}" if kind else "proactive"
        rows += _f1_rows(f"{label} {name}", chosen)
    return rows + _router_rows(label, results)


def _row(case: str, subject: str, metric: str, estimate: Any, rounds: int) -> list[Row]:
    if estimate is None:
        return []
    return [Row(case, subject, metric, estimate.value, estimate.low, estimate.high, rounds)]


def _accuracy_rows(case: str, chosen: Sequence[Result]) -> list[Row]:
    clusters, rows = [r.cluster for r in chosen], []
    for subject in SUBJECTS:
        right = [float(r.right[subject]) for r in chosen]
        rows += _row(case, subject, "accuracy", mean(right, clusters, 0), len(chosen))
    chance = mean([r.chance for r in chosen], clusters, 0)
    return rows + _row(case, "chance", "accuracy", chance, len(chosen))


def _f1_rows(case: str, chosen: Sequence[Instruction]) -> list[Row]:
    clusters, rows = [i.cluster for i in chosen], []
    for subject in SUBJECTS:
        twice = [2.0 * i.hits[subject] for i in chosen]
        possible = [float(i.alerts[subject] + i.triggers) for i in chosen]
        rows += _row(case, subject, "f1_1s", ratio(twice, possible, clusters, 0), len(chosen))
    return rows


def _router_rows(label: str, results: Sequence[Result]) -> list[Row]:
    """How well S1's probability tells that S1 is right, and what a threshold on it buys."""
    confidence = [r.probability["s1"] for r in results]
    area = auroc(confidence, [r.right["s1"] for r in results])
    rows = []
    if area is not None:
        low, high = _resampled_auroc(results)
        rows.append(Row(f"{label} router", "s1 confidence", "auroc", area, low, high, len(results)))
    clusters = [r.cluster for r in results]
    for threshold in CASCADE_THRESHOLDS:
        to_s2 = [r.probability["s1"] < threshold for r in results]
        right = [
            float(r.right["s2" if late else "s1"]) for r, late in zip(results, to_s2, strict=True)
        ]
        name = f"cascade {threshold:g}"
        calls = mean([float(late) for late in to_s2], clusters, 0)
        rows += _row(f"{label} router", name, "accuracy", mean(right, clusters, 0), len(results))
        rows += _row(f"{label} router", name, "s2_share", calls, len(results))
    return rows


def _resampled_auroc(results: Sequence[Result], replicates: int = 500) -> tuple[float, float]:
    by_stream: dict[str, list[Result]] = {}
    for result in results:
        by_stream.setdefault(result.cluster, []).append(result)
    streams, rng = list(by_stream.values()), np.random.default_rng(0)
    areas = []
    for _ in range(replicates):
        drawn = [r for k in rng.integers(0, len(streams), len(streams)) for r in streams[k]]
        area = auroc([r.probability["s1"] for r in drawn], [r.right["s1"] for r in drawn])
        if area is not None:
            areas.append(area)
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table: one line per case, one column per subject."""
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.case, row.metric), {})[row.subject] = row
    out = ["| case | n | metric | S1 | S2 | blind | chance |", "|---|---|---|---|---|---|---|"]
    others = []
    for (case, metric), cells in lines.items():
        count = next(iter(cells.values())).rounds
        if not cells.keys() & set(SUBJECTS):
            others += [f"{case}: {name} {metric} {_cell(row)}" for name, row in cells.items()]
            continue
        values = " | ".join(_cell(cells.get(s)) for s in SUBJECTS)
        chance = f"{cells['chance'].median:.2f}" if "chance" in cells else ""
        out.append(f"| {case} | {count} | {metric} | {values} | {chance} |")
    return "\n".join([*out, "", *others])


def _cell(row: Row | None) -> str:
    return f"{row.median:.2f} [{row.low:.2f}, {row.high:.2f}]" if row else ""


def parse_arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="model folder")
    parser.add_argument("--streams", type=int, default=40)
    parser.add_argument("--duration", type=float, default=120.0, help="seconds per stream")
    parser.add_argument("--seed", type=int, default=FIRST_HELD_OUT_SEED, help="first stream seed")
    parser.add_argument("--fps", type=float, default=1.0)
    parser.add_argument("--questions", type=int, default=4, help="per stream, task and format")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write the rows here")
    return parser.parse_args()


def main() -> None:
    """Run the measurement and print its table."""
    args = parse_arguments()
    folder, fair = args.folder or embedded_path(), Fair()
    streams = [make_stream(args.seed + i, args.duration) for i in range(args.streams)]
    jobs = [
        Job(folder, stream, select_questions(stream, fair, args.questions, args.fps), args.fps)
        for stream in streams
    ]
    measured = []
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        for done, one in enumerate(pool.imap(measure, jobs), 1):
            measured.append(one)
            print(f"\r{done}/{len(jobs)} streams", end="", file=sys.stderr, flush=True)
        pool.close()
        pool.join()
    print(file=sys.stderr)
    results = [result for part, _, _ in measured for result in part]
    instructions = [one for _, part, _ in measured for one in part]
    rows = score_rows(results, instructions, args.duration)
    difference = float(np.mean([d for _, _, d in measured]))
    print(table(rows))
    print(
        f"{args.streams} streams of {args.duration:g} s, {len(results)} questions, "
        f"{len(instructions)} instructions; decoded pixels differ from the drawn ones by "
        f"{difference:.1f}/255 on average"
    )
    if args.json:
        write_rows(args.json, rows)


if __name__ == "__main__":
    main()
