"""Frames on screen at regular ticks as RGB arrays: `dsb`, and every other way that Python has.

    pip install -e '.[bench]'
    python benches/decode.py --data data/decode --json rows.json --figure docs/decode-bench.svg

Each subject runs in a warm process of its own and delivers (T, 448, 448, 3) uint8; `ffmpeg -f null` decodes
with the same binary as `dsb` and delivers nothing: it is the price of decoding every frame, and the base of
all ratios. Rounds are interleaved, the first subject changes from round to round. Wall time is what the
caller waits, CPU time that of the process and its children. Every job finds the file under a new name, so that
nothing remembered of it helps. Files are made on the first run and kept.

Every delivered frame is compared with the one on screen at its tick, by the number painted into it. The
column `ahead` counts the frames that show what happens after their tick where one takes every n-th frame, as is
usual with that library, or `ffmpeg -vf fps=N`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from decode_files import FULL, QUICK, RATE, Recipe, make, read_number
from decode_subjects import BASE, SUBJECTS, Job, Reply
from dsb.stream.binary import find_ffmpeg
from dsb.stream.pruning import prune
from dsb.stream.request import DecodeRequest
from rows import Row, write_rows


class Unable(Exception):
    """A subject cannot do what it was asked; the message says why."""


class Worker:
    """The process of one subject."""

    def __init__(self, name: str) -> None:
        script = Path(__file__).with_name("decode_subjects.py")
        self._process = subprocess.Popen(
            [sys.executable, script, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            self.version = self._reply()["version"]
        except Unable:
            self.close()
            raise

    def _reply(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise Unable(f"its process ended with {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise Unable(reply["error"])
        return reply

    def do(self, job: Job) -> Reply:
        """Raises `Unable`."""
        try:
            print(json.dumps(dataclasses.asdict(job)), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise Unable(f"its process ended with {self._process.wait()}") from None
        return Reply(**self._reply())

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


@dataclass
class Case:
    """One file and everything that was measured on it."""

    recipe: Recipe
    job: Job
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    unable: dict[str, str] = field(default_factory=dict)
    fps_filter: int = 0
    """Frames ahead where one uses `ffmpeg -vf fps=N`."""

    @property
    def on_screen(self) -> list[int]:
        """The number of the frame on screen at each tick."""
        return [self.recipe.on_screen(t) for t in self.job.times]

    def differing(self, numbers: Sequence[int | None]) -> int:
        """How many frames are not those on screen at their ticks."""
        return sum(a != b for a, b in zip(numbers, self.on_screen, strict=True))

    def ahead(self, numbers: Sequence[int]) -> int:
        """How many frames come on screen only after their ticks."""
        return sum(a > b for a, b in zip(numbers, self.on_screen, strict=False))

    def usual(self, subject: str) -> int | None:
        """Frames ahead where one takes every n-th; `None` where that is not what one writes."""
        if subject == BASE:
            return self.fps_filter
        step = self.replies[subject][0].step
        return None if step is None else self.ahead([k * step for k in range(self.job.ticks)])


def fps_filter(case: Case) -> int:
    """Decode once with the rounding that ffmpeg's `fps` has unless told otherwise."""
    job = case.job
    scale = f"fps={job.fps},scale={job.side}:{job.side}"
    command = [
        *(find_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error"),
        *("-i", f"file:{job.path}", "-vf", scale, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"),
    ]
    pixels = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    frames = np.frombuffer(pixels, np.uint8).reshape(-1, job.side, job.side, 3)[: job.ticks]
    # A number that cannot be read tells of no frame ahead.
    return case.ahead([read_number(frame) or 0 for frame in frames])


def prepare(recipes: Sequence[Recipe], folder: Path, fps: float, side: int) -> list[Case]:
    """Make the files; one whose encoder this ffmpeg lacks is left out by name."""
    cases = []
    for recipe in recipes:
        try:
            path = make(recipe, folder, find_ffmpeg())
        except subprocess.CalledProcessError as error:
            note(f"{recipe.name} left out: {error.stderr.decode(errors='replace').strip()}")
            continue
        # All ticks before the end of the last frame.
        ticks = -int(-recipe.frames / RATE * Fraction(fps) // 1)
        cases.append(Case(recipe, Job(recipe.name, str(path), fps, ticks, side)))
        note(f"{path.name}: {8 * path.stat().st_size / recipe.duration_s / 1e6:.1f} Mbit/s")
    return cases


def start(names: Sequence[str]) -> dict[str, Worker]:
    """A worker per subject that can be loaded; the others are skipped by name."""
    workers = {}
    for name in names:
        try:
            workers[name] = Worker(name)
        except Unable as reason:
            note(f"{name} skipped: {reason}")
    if BASE not in workers:
        raise SystemExit(f"{BASE} is the base of all ratios and cannot be left out")
    return workers


def play(cases: Sequence[Case], workers: dict[str, Worker], rounds: int) -> None:
    """All rounds. The first job of each worker is not counted: it loads what is loaded late."""
    for name, worker in workers.items():
        attempt(cases[0], name, worker)
    cases[0].replies.clear()
    for number in range(rounds):
        for case in cases:
            names = list(workers)
            first = number % len(names)
            for name in names[first:] + names[:first]:
                attempt(case, name, workers[name])
            note(f"round {number + 1}/{rounds}: {case.recipe.name}")


def attempt(case: Case, name: str, worker: Worker) -> None:
    """One job, unless this subject failed on this file before."""
    if name in case.unable:
        return
    suffix = Path(case.job.path).suffix
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"video{suffix}"
            path.symlink_to(Path(case.job.path).resolve())
            reply = worker.do(dataclasses.replace(case.job, path=str(path)))
        case.replies.setdefault(name, []).append(reply)
    except Unable as reason:
        case.unable[name] = str(reason)
        case.replies.pop(name, None)
        note(f"{name} skipped on {case.recipe.name}: {reason}")


def verify(case: Case) -> None:
    """`dsb` is right, or its speed means nothing: exit if a frame is wrong or pruning shows."""
    own = [reply for name in ("dsb", "dsb unpruned") for reply in case.replies.get(name, [])]
    if wrong := max((case.differing(reply.numbers) for reply in own), default=0):
        raise SystemExit(f"{case.recipe.name}: dsb delivered {wrong} wrong frames")
    if len({reply.digest for reply in own}) > 1:
        raise SystemExit(f"{case.recipe.name}: pruned and unpruned pixels differ")


def rows_of(case: Case) -> list[Row]:
    """Medians with spread, ratios of medians with the spread of the rounds' ratios, frame counts."""
    rows, base = [], case.replies[BASE]
    for name, replies in case.replies.items():

        def row(metric: str, values: Sequence[float], subject: str = name) -> Row:
            return Row.of(case.recipe.name, subject, metric, values)

        for metric in ("wall_s", "cpu_s"):
            mine = [getattr(reply, metric) for reply in replies]
            nulls = [getattr(reply, metric) for reply in base]
            ratios = row(f"{metric} ratio", [a / b for a, b in zip(mine, nulls, strict=True)])
            middle = median(mine) / median(nulls)
            rows += [row(metric, mine), dataclasses.replace(ratios, median=middle)]
        if name != BASE:
            wrong = [float(case.differing(reply.numbers)) for reply in replies]
            rows.append(row("frames not on screen", wrong))
        if (usual := case.usual(name)) is not None:
            rows.append(row("frames ahead, usual sampling", [float(usual)]))
    return rows


def table(cases: Sequence[Case], rows: Sequence[Row]) -> str:
    """One Markdown table per file."""
    found = {(row.case, row.subject, row.metric): row for row in rows}
    lines = []
    for case in cases:
        name, ticks = case.recipe.name, case.job.ticks
        lines += ["", f"### {name}: {ticks} frames of {case.recipe.duration_s} s", ""]
        lines += [packets(case), "", HEADER, "|---|---|---|---|---|---|---|"]
        for subject in sorted(case.replies, key=lambda s: found[name, s, "wall_s"].median):
            times = [spread(found[name, subject, m], 2) for m in TIMES]
            counts = [found.get((name, subject, m)) for m in COUNTS]
            shown = ["" if c is None else f"{c.high:.0f} of {ticks}" for c in counts]
            lines.append(f"| {' | '.join([subject, *times, *shown])} |")
        lines += [f"| {s} | {reason} | | | | | |" for s, reason in case.unable.items()]
    return "\n".join(lines)


def packets(case: Case) -> str:
    """What `dsb` leaves out of this file."""
    pruning = prune(DecodeRequest(case.job.path, Fraction(case.job.fps)))
    if pruning is None or pruning.url is None:
        return f"`dsb` decodes every packet: {pruning.reason if pruning else 'not a file'}."
    return f"`dsb` decodes {pruning.kept:,} of {pruning.packets:,} packets."


HEADER = "| | wall s | CPU s | wall ratio | CPU ratio | other frames | ahead |"
TIMES = ("wall_s", "cpu_s", "wall_s ratio", "cpu_s ratio")
COUNTS = ("frames not on screen", "frames ahead, usual sampling")


def spread(row: Row, digits: int) -> str:
    """Median with the smallest and the largest."""
    return f"{row.median:.{digits}f} [{row.low:.{digits}f}, {row.high:.{digits}f}]"


def draw(cases: Sequence[Case], rows: Sequence[Row], out: Path) -> None:
    """Bars of the ratios to the null decode, with the spread over the rounds."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "dsb", "font.size": 8, "svg.fonttype": "none"})
    from matplotlib import pyplot as plt

    found = {(row.case, row.subject, row.metric): row for row in rows}
    subjects = [name for name in SUBJECTS if name != BASE]
    figure, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
    for axis, metric, title in zip(axes, TIMES[2:], ("wall time", "CPU time"), strict=True):
        for place, subject in enumerate(subjects):
            bars = [
                (x, found[case.recipe.name, subject, metric])
                for x, case in enumerate(cases)
                if subject in case.replies
            ]
            if not bars:
                continue
            xs = [x + (place - (len(subjects) - 1) / 2) * 0.8 / len(subjects) for x, _ in bars]
            heights = [row.median for _, row in bars]
            # A ratio of medians may lie outside the ratios of the rounds.
            errors = [
                [max(0.0, row.median - row.low) for _, row in bars],
                [max(0.0, row.high - row.median) for _, row in bars],
            ]
            width = 0.8 / len(subjects)
            axis.bar(xs, heights, width, yerr=errors, label=subject, error_kw={"lw": 0.7})
        axis.axhline(1, color="black", lw=0.8)
        axis.set(ylabel=f"{title} / {BASE}", ylim=(0, None))
        axis.grid(axis="y", alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), loc="outside upper center", frameon=False)
    axes[1].set_xticks(range(len(cases)), [case.recipe.name for case in cases])
    figure.savefig(out, metadata={"Date": None})


def note(text: str) -> None:
    """Progress, and what is left out."""
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data/decode"), help="folder of the files"
    )
    parser.add_argument("--fps", type=float, default=1.0, help="ticks per second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--files", nargs="+", help="names of files, as in the table")
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it works")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--figure", type=Path, help="draw the ratios here (svg or pdf)")
    return parser.parse_args()


def main() -> None:
    """Measure, verify, print, write."""
    arguments = parse_arguments()
    recipes, side = (QUICK, 96) if arguments.quick else (FULL, 448)
    chosen = [r for r in recipes if arguments.files is None or r.name in arguments.files]
    if not chosen:
        raise SystemExit(f"--files: one of {', '.join(repr(r.name) for r in recipes)}")
    cases = prepare(chosen, arguments.data, arguments.fps, side)
    workers = start(arguments.subjects)
    try:
        play(cases, workers, 1 if arguments.quick else arguments.rounds)
    finally:
        for worker in workers.values():
            worker.close()
    for case in cases:
        verify(case)
        case.fps_filter = fps_filter(case)
    rows = [row for case in cases for row in rows_of(case)]
    print("; ".join(worker.version for worker in workers.values()))
    print(table(cases, rows))
    if arguments.json:
        write_rows(arguments.json, rows)
    if arguments.figure:
        draw(cases, rows, arguments.figure)


if __name__ == "__main__":
    main()
