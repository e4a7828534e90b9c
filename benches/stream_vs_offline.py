"""One playing per video against one decode per question, on the quickstart's videos, in one run.

    python benches/stream_vs_offline.py [--sessions N] [--rounds N] [--json rows.json]

`stream` plays each video once and encodes each frame once (`mode: stream`, `reuse: embed`). The baseline `offline`
is what per-benchmark scripts do: it decodes and encodes the video again for every item (`mode: offline`,
`reuse: none`). Rounds are interleaved. The answers are compared item by item; ratios are baseline / stream.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsb.analysis.summary.score import score_run
from dsb.config.load import load_config
from dsb.evaluation.run import execute
from dsb.runlog.run import open_run
from dsb.runlog.run_data import RunData
from rows import Row, print_rows, write_rows

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "stream": ("stream.mode=stream", "system.streaming_embed_cache.reuse=embed"),
    "offline": ("stream.mode=offline", "system.streaming_embed_cache.reuse=none"),
}
#: What is measured, and how it is called.
METRICS = ("wall_s", "decode_cpu_s", "model_s", "frames_decoded", "frames_encoded")


def measure(
    name: str, arguments: argparse.Namespace, results: Path
) -> tuple[dict[str, float], Path]:
    """Run the quickstart once in one of the settings."""
    overrides = [
        *SETTINGS[name],
        f"dataset.data_dir={arguments.data}",
        f"dataset.synth.sessions={arguments.sessions}",
        f"output.dir={results}",
        f"output.name={name}",
        *arguments.set,
    ]
    loaded = load_config(arguments.config, overrides)
    begun = time.perf_counter()
    result = execute(loaded)
    wall_s = time.perf_counter() - begun
    if result.state != "complete":
        raise SystemExit(f"{name}: the run is {result.state}: {result.reason}")
    work = score_run(open_run(result.run_dir)).work
    measured = {
        "wall_s": wall_s,
        "decode_cpu_s": work.decode_seconds,
        "model_s": work.model_seconds,
        "frames_decoded": float(work.frames_decoded),
        "frames_encoded": float(work.frames_encoded + work.frames_provisional),
    }
    return measured, result.run_dir


def said(data: RunData) -> dict[tuple[str, str], Any]:
    """Everything that the systems answered, and whether they wished to speak at each tick."""
    answers: dict[tuple[str, str], Any] = {key: each.text for key, each in data.answers.items()}
    for key, ticks in data.ticks.items():
        answers[key] = tuple(score is not None and score >= 0.5 for score in ticks.scores)
    return answers


def compare(stream: Path, offline: Path) -> tuple[int, int]:
    """(equal answers, all answers) of two runs."""
    one, other = said(open_run(stream).data), said(open_run(offline).data)
    if one.keys() != other.keys():
        raise SystemExit("the two runs did not answer the same items")
    return sum(one[key] == other[key] for key in one), len(one)


def main() -> None:
    """Measure, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("configs/quickstart.yaml"))
    parser.add_argument("--sessions", type=int, default=8, help="videos")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("data/quickstart"))
    parser.add_argument("-s", "--set", action="append", default=[], help="key=value, as in dsb run")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()

    measured: dict[str, list[dict[str, float]]] = {name: [] for name in SETTINGS}
    equal = total = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds + 1):
            runs: dict[str, Path] = {}
            for name in SETTINGS:
                figures, runs[name] = measure(name, arguments, Path(folder) / str(number))
                # The first round warms caches: videos are rendered, libraries loaded.
                if number > 0 or arguments.rounds == 0:
                    measured[name].append(figures)
            equal, total = compare(runs["stream"], runs["offline"])
    case = f"quickstart, {arguments.sessions} videos"
    rows = [
        Row.of(case, name, metric, [figures[metric] for figures in measured[name]])
        for name in SETTINGS
        for metric in METRICS
    ]
    for metric in METRICS:
        pairs = zip(measured["offline"], measured["stream"], strict=True)
        ratios = [slow[metric] / fast[metric] for slow, fast in pairs]
        rows.append(Row.of(case, "offline / stream", f"{metric} ratio", ratios))
    rows.append(Row.of(case, "offline = stream", "equal answers", [equal / total]))
    print_rows(rows)
    print(f"\n{equal} of {total} answers are equal")
    if arguments.json:
        write_rows(arguments.json, rows)


if __name__ == "__main__":
    main()
