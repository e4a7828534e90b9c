"""The summary as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dsb.analysis.summary import OVERALL, ArmCost, Cell, Summary


def format_cell(cell: Cell | None, digits: int = 2) -> str:
    """`0.97 [0.94, 0.99]`, or a dash."""
    if cell is None:
        return "-"
    return f"{cell.value:.{digits}f} [{cell.low:.{digits}f}, {cell.high:.{digits}f}]"


def arm_label(arm: str) -> str:
    """A short heading."""
    return {"s1": "S1", "s2": "S2"}.get(arm, arm)


def arm_names(scores: Mapping[str, Mapping[str, Cell]]) -> list[str]:
    """Arms in the order of the table."""
    return list(dict.fromkeys(arm for row in scores.values() for arm in row))


def score_rows(summary: Summary) -> list[tuple[str, str, list[str]]]:
    """Per task: its name with metric, n and chance, then a text per arm."""
    rows = []
    for task, cells in summary.scores.items():
        first = next(iter(cells.values()))
        chance = summary.chance.get(task)
        about = f"n={first.n}" + (f", chance {chance:.2f}" if chance is not None else "")
        name = f"{task} ({first.metric})" if task != OVERALL else OVERALL
        rows.append(
            (name, about, [format_cell(cells.get(arm)) for arm in arm_names(summary.scores)])
        )
    return rows


def cost_rows(costs: Mapping[str, ArmCost], arms: Sequence[str]) -> list[tuple[str, list[str]]]:
    """What each arm costs: one row per quantity."""
    quantities: list[tuple[str, str, int]] = [
        ("questions to S2 (share)", "s2_share", 2),
        ("ticks to S2 (share)", "s2_share_ticks", 2),
        ("question p50 (ms)", "service_p50_ms", 1),
        ("question p95 (ms)", "service_p95_ms", 1),
        ("tick p50 (ms)", "tick_p50_ms", 1),
        ("tick p95 (ms)", "tick_p95_ms", 1),
        ("tokens read per question", "input_tokens", 0),
        ("tokens written per question", "output_tokens", 1),
    ]
    return [
        (label, [format_cell(getattr(costs[arm], field), digits) for arm in arms])
        for label, field, digits in quantities
    ]


def work_line(summary: Summary) -> str:
    """What the machine did, in one line."""
    work = summary.work
    return (
        f"{work.sessions} sessions, {work.stream_seconds / 60:.1f} min of video; "
        f"{work.frames_decoded} frames decoded, {work.frames_encoded} encoded "
        f"(+{work.frames_provisional} provisional); {work.model_calls} model calls; "
        f"decoder {work.decode_seconds:.1f} s CPU, models {work.model_seconds:.1f} s, "
        f"all {work.wall_seconds:.1f} s"
    )


def render(summary: Summary) -> RenderableType:
    """Scores, costs, work and warnings."""
    arms = arm_names(summary.scores)
    scores = Table(title=f"{summary.run}: scores with 95 % intervals clustered by video")
    scores.add_column("task")
    scores.add_column("items")
    for arm in arms:
        scores.add_column(arm_label(arm), justify="right")
    for name, about, texts in score_rows(summary):
        scores.add_row(name, about, *texts, style="bold" if name == OVERALL else None)
    costs = Table(title="costs")
    costs.add_column("quantity")
    for arm in arms:
        costs.add_column(arm_label(arm), justify="right")
    for label, texts in cost_rows(summary.costs, arms):
        costs.add_row(label, *texts)
    notes = [Text(work_line(summary), style="dim")]
    notes += [Text(f"warning: {warning}", style="yellow") for warning in summary.warnings]
    return Group(scores, costs, *notes)
