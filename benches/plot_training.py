"""Draw the learning curves of a training run from its log.

    python benches/plot_training.py RUN/log.txt docs/embedded-model-curves.svg

The wall clock of the log restarts when an interrupted run continues, so the curves of stage B run
over steps. Training accuracy is measured on the batches that are being trained on, before their
update; every batch is new, but its streams come from the bank and repeat.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_VISION = re.compile(r"\] A (\d+) \{(.*)\}")
_LANGUAGE = re.compile(r"\] B (\d+)/(\d+) loss (\S+) deep (\S+) (.*) s/step")
_PAIR = re.compile(r"'(\w+)': ([\d.]+)")
_ACCURACY = re.compile(r"(\d+):(\w+)=([\d.]+)")
#: Names of answer formats in older logs.
_ALIASES = {"mcq": "choice", "yn": "yes_no"}
_PANELS = (("open", "one word"), ("choice", "multiple choice"), ("letter", "letters"))
#: Points of a bucket are averaged over this many log lines.
_SMOOTHING = 5


@dataclass
class Curves:
    """What a log holds, as lists of (step, value)."""

    vision: defaultdict[str, list[tuple[int, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    loss: list[tuple[int, float]] = field(default_factory=list)
    value_loss: list[tuple[int, float]] = field(default_factory=list)
    accuracy: defaultdict[tuple[str, int], list[tuple[int, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )


def read_log(lines: Iterable[str]) -> Curves:
    """Parse the log. A step that was trained again after an interruption counts once."""
    curves = Curves()
    for line in lines:
        if found := _VISION.search(line):
            for name, value in _PAIR.findall(found[2]):
                curves.vision[name].append((int(found[1]), float(value)))
        elif found := _LANGUAGE.search(line):
            step = int(found[1])
            _append(curves.loss, step, float(found[3]))
            _append(curves.value_loss, step, float(found[4]))
            for units, form, value in _ACCURACY.findall(found[5]):
                key = (_ALIASES.get(form, form), int(units))
                _append(curves.accuracy[key], step, float(value))
    return curves


def _append(points: list[tuple[int, float]], step: int, value: float) -> None:
    while points and points[-1][0] >= step:
        points.pop()
    points.append((step, value))


def _smooth(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    steps = [step for step, _ in points]
    means = []
    for i in range(len(points)):
        near = [value for _, value in points[max(0, i + 1 - _SMOOTHING) : i + 1]]
        means.append(sum(near) / len(near))
    return steps, means


def draw(curves: Curves, out: Path) -> None:
    """Write the figure: vision accuracy, losses, and accuracy per format and clip length."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "dsb", "font.size": 8, "svg.fonttype": "none"})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 5, figsize=(13, 2.6), layout="constrained")
    names = {"kind": "shape or digit", "color": "colour", "bg": "background", "cell": "cell"}
    for key, name in names.items():
        axes[0].plot(*zip(*curves.vision[key], strict=True), marker="o", ms=3, label=name)
    axes[0].set(title="stage A: reading accuracy", xlabel="step", ylim=(0, 1.02))
    axes[1].plot(*_smooth(curves.loss), label="total")
    axes[1].plot(*_smooth(curves.value_loss), label="value before letter")
    axes[1].set(title="stage B: loss", xlabel="step", yscale="log")
    buckets = sorted({units for _, units in curves.accuracy})
    colors = {
        units: plt.cm.viridis(i / max(1, len(buckets) - 1)) for i, units in enumerate(buckets)
    }
    for axis, (form, title) in zip(axes[2:], _PANELS, strict=True):
        for units in buckets:
            if points := curves.accuracy.get((form, units)):
                name = "text only" if units == 1 else f"{2 * units} s"
                axis.plot(*_smooth(points), color=colors[units], lw=1, label=name)
        axis.set(title=f"stage B: {title}", xlabel="step", ylim=(0, 1.02))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=6, loc="lower right" if axis is not axes[1] else "upper right")
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, help="log.txt of a training run")
    parser.add_argument("out", type=Path, help="figure to write (svg or pdf)")
    args = parser.parse_args()
    draw(read_log(args.log.read_text(encoding="utf-8").splitlines()), args.out)


if __name__ == "__main__":
    main()
