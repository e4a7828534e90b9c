"""The figures of a report as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsb.analysis.arm import Arm
from dsb.analysis.summary.schema import OVERALL, Cell, Summary
from dsb.config.schema import BLIND
from dsb.reports.drawing import (
    GREEN,
    GREY,
    LIGHT_GREY,
    PURPLE,
    SYSTEM_COLORS,
    panels,
    svg_text,
)
from dsb.reports.rows import arm_label, arm_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = {**SYSTEM_COLORS, BLIND: GREY}
_ROUTER_COLORS = (GREEN, PURPLE, "#c51b8a", "#8c6d31", "#1c9099")


def draw_figures(summary: Summary) -> dict[str, str]:
    """File name without ending -> SVG text; only figures that the run has data for."""
    figures = {"scores": draw_scores(summary), "cost_accuracy": draw_cost_accuracy(summary)}
    if summary.tradeoff is not None and summary.tradeoff.lookback:
        figures["lookback"] = draw_lookback(summary)
    return {name: svg_text(figure) for name, figure in figures.items()}


def draw_scores(summary: Summary) -> Figure:
    """Score per task and arm with intervals; a tick at the score of guessing."""
    arms = arm_names(summary.scores)
    figure, (axes,) = panels(1, 1.6 * len(summary.scores) + 2.4, 3.4)
    width = 0.8 / len(arms)
    for number, arm in enumerate(arms):
        for place, cells in enumerate(summary.scores.values()):
            cell = cells.get(arm)
            if cell is not None:
                at = place - 0.4 + (number + 0.5) * width
                axes.bar(
                    at,
                    cell.value,
                    0.9 * width,
                    color=_color(arm, arms),
                    label=arm_label(arm) if place == 0 else None,
                )
                axes.errorbar(at, cell.value, yerr=_error(cell), color="black", lw=0.8, capsize=2)
    for place, task in enumerate(summary.scores):
        if task in summary.chance:
            axes.hlines(
                summary.chance[task], place - 0.42, place + 0.42, colors="black", ls=":", lw=1
            )
    axes.set_xticks(range(len(summary.scores)), list(summary.scores))
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("score (dotted: guessing)")
    figure.legend(loc="outside upper center", ncols=len(arms), frameon=False, fontsize=8)
    return figure


def draw_cost_accuracy(summary: Summary) -> Figure:
    """Overall score against S2's share: the arms, the sweep of S1's confidence, the oracle."""
    arms = [arm for arm in arm_names(summary.scores) if not Arm.of(arm).blind]
    figure, (axes,) = panels(1, 5.2, 3.8)
    if summary.tradeoff is not None and summary.tradeoff.cascade:
        points = summary.tradeoff.cascade
        axes.plot(
            [point.s2_share for point in points],
            [point.accuracy for point in points],
            color=LIGHT_GREY,
            label="any threshold on S1's confidence (questions)",
        )
        ends = points[0], points[-1]
        axes.plot([p.s2_share for p in ends], [p.accuracy for p in ends], color=LIGHT_GREY, ls=":")
        best = summary.tradeoff.oracle
        if best is not None:
            axes.plot(best.s2_share, best.accuracy, "k*", ms=10, label="oracle (questions)")
    for arm in arms:
        cell, share = summary.scores[OVERALL].get(arm), summary.costs[arm].s2_share
        if cell is not None and share is not None:
            axes.errorbar(
                share.value,
                cell.value,
                yerr=_error(cell),
                fmt="o",
                color=_color(arm, arms),
                capsize=2,
                label=arm_label(arm),
            )
    axes.set_xlabel("share of questions that S2 answers")
    axes.set_ylabel("score")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return figure


def draw_lookback(summary: Summary) -> Figure:
    """Accuracy by the distance between question and first evidence."""
    assert summary.tradeoff is not None
    bins = summary.tradeoff.lookback
    figure, (axes,) = panels(1, 5.2, 3.4)
    places = range(len(bins))
    axes.plot(places, [each.s1 for each in bins], "o-", color=_COLORS["s1"], label="S1")
    axes.plot(places, [each.s2 for each in bins], "o-", color=_COLORS["s2"], label="S2")
    axes.set_xticks(places, [f"{each.low_s:.0f}-{each.high_s:.0f} s\nn={each.n}" for each in bins])
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("first evidence before the question")
    axes.set_ylabel("accuracy")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _color(arm: str, arms: list[str]) -> str:
    if arm in _COLORS:
        return _COLORS[arm]
    routers = [name for name in arms if name not in _COLORS]
    return _ROUTER_COLORS[routers.index(arm) % len(_ROUTER_COLORS)]


def _error(cell: Cell) -> list[list[float]]:
    return [[max(0.0, cell.value - cell.low)], [max(0.0, cell.high - cell.value)]]
