"""The summary as tables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dsb.analysis.summary.schema import Summary
from dsb.reports.rows import (
    QUANTITIES,
    arm_label,
    arm_names,
    compact_cell,
    confidence_text,
    work_lines,
)


def render(summary: Summary) -> RenderableType:
    """Scores, costs, work and warnings."""
    under = [Text(line, style="dim") for line in _notes(summary)]
    under += [Text(f"warning: {warning}", style="yellow") for warning in summary.warnings]
    return Group(_score_table(summary), _cost_table(summary), *under)


def _notes(summary: Summary) -> list[str]:
    areas = confidence_text(summary)
    told = [f"confidence tells right from wrong answers with AUROC {areas}"] if areas else []
    return [*told, *work_lines(summary)]


def _score_table(summary: Summary) -> Table:
    title = f"{summary.run}: scores with 95 % intervals clustered by video"
    table = Table(title=title, show_lines=True)
    table.add_column("arm", overflow="fold")
    for task, cells in summary.scores.items():
        first = next(iter(cells.values()))
        chance = summary.chance.get(task)
        about = f"{first.metric}\nn={first.n}"
        guess = "" if chance is None else f"\nchance {chance:.2f}"
        table.add_column(f"{task}\n{about}{guess}", justify="right")
    for arm in arm_names(summary.scores):
        cells_of_arm = [compact_cell(cells.get(arm)) for cells in summary.scores.values()]
        table.add_row(arm_label(arm), *cells_of_arm)
    return table


def _cost_table(summary: Summary) -> Table:
    table = Table(title="costs with 95 % intervals", show_lines=True)
    table.add_column("arm", overflow="fold")
    shown = [(heading, field) for _, heading, field, _ in QUANTITIES if heading]
    for heading, _ in shown:
        table.add_column(heading, justify="right")
    for arm in arm_names(summary.scores):
        costs = summary.costs[arm]
        table.add_row(arm_label(arm), *(compact_cell(getattr(costs, field)) for _, field in shown))
    return table
