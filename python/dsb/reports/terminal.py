"""The summary as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dsb.analysis.summary.schema import OVERALL, ArmCost, Cell, Live, Summary


def format_cell(cell: Cell | None, digits: int = 2) -> str:
    """`0.97 [0.94, 0.99]`, or a dash."""
    if cell is None:
        return "-"
    return f"{cell.value:.{digits}f} [{cell.low:.{digits}f}, {cell.high:.{digits}f}]"


def compact_cell(cell: Cell | None) -> str:
    """`.97` above `[.94,.99]`: the same for a narrow column."""
    if cell is None:
        return "-"
    return f"{_compact(cell.value)}\n[{_compact(cell.low)},{_compact(cell.high)}]"


def _compact(number: float) -> str:
    digits = 2 if abs(number) < 2 else 1 if abs(number) < 100 else 0
    text = f"{number:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


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


#: What an arm costs: long name, heading in a terminal (empty: only on the page), field, digits.
QUANTITIES: Sequence[tuple[str, str, str, int]] = (
    ("questions to S2 (share)", "questions\nto S2", "s2_share", 2),
    ("ticks to S2 (share)", "ticks\nto S2", "s2_share_ticks", 2),
    ("question p50 (ms)", "question\np50 ms", "service_p50_ms", 1),
    ("question p95 (ms)", "question\np95 ms", "service_p95_ms", 1),
    ("tick p50 (ms)", "tick\np50 ms", "tick_p50_ms", 1),
    ("tick p95 (ms)", "", "tick_p95_ms", 1),
    ("tokens read per question", "tokens\nread", "input_tokens", 0),
    ("tokens written per question", "", "output_tokens", 1),
)


def cost_rows(costs: Mapping[str, ArmCost], arms: Sequence[str]) -> list[tuple[str, list[str]]]:
    """What each arm costs: one row per quantity."""
    return [
        (label, [format_cell(getattr(costs[arm], field), digits) for arm in arms])
        for label, _, field, digits in QUANTITIES
    ]


def work_line(summary: Summary) -> str:
    """What the machine did, in one line."""
    work = summary.work
    return (
        f"{work.sessions} sessions, {work.stream_seconds / 60:.1f} min of video; "
        f"{work.frames_decoded} frames decoded, {work.frames_encoded} encoded "
        f"(+{work.frames_provisional} provisional); {work.model_calls} model calls; "
        f"decoder {work.decode_seconds:.1f} s CPU, language models {work.model_seconds:.1f} s, "
        f"all {work.wall_seconds:.1f} s"
    )


def live_line(live: Live) -> str:
    """How the live stream came, in one line."""
    window = "no frame shown"
    if live.window_p50_ms is not None and live.window_p95_ms is not None:
        window = f"to a window p50 {live.window_p50_ms:.0f} ms, p95 {live.window_p95_ms:.0f} ms"
    return (
        f"live: {live.frames_come} frames came, {live.frames_dropped} dropped, "
        f"{live.gaps} gaps of {live.gap_seconds:.1f} s in all; delay behind the fastest frame to the ring "
        f"p50 {live.ring_p50_ms:.0f} ms, p95 {live.ring_p95_ms:.0f} ms, {window}"
    )


def notes(summary: Summary) -> list[str]:
    """What belongs under the tables: how well confidence tells right from wrong, and the work."""
    lines = [work_line(summary)]
    if summary.live is not None:
        lines.append(live_line(summary.live))
    if summary.confidence_auroc:
        areas = ", ".join(
            f"{arm_label(name)} {area:.2f}" for name, area in summary.confidence_auroc.items()
        )
        lines.insert(0, f"confidence tells right from wrong answers with AUROC {areas}")
    return lines


def render(summary: Summary) -> RenderableType:
    """Scores, costs, work and warnings."""
    under = [Text(line, style="dim") for line in notes(summary)]
    under += [Text(f"warning: {warning}", style="yellow") for warning in summary.warnings]
    return Group(_score_table(summary), _cost_table(summary), *under)


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
