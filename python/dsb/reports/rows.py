"""What the terminal, the page and the figures say alike: numbers as text, names of arms, rows, lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsb.analysis.arm import Arm
from dsb.analysis.summary.schema import OVERALL, ArmCost, Cell, Live, Summary

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
    return Arm.of(arm).heading


def arm_names(scores: Mapping[str, Mapping[str, Cell]]) -> list[str]:
    """Arms in the order of the table."""
    return list(dict.fromkeys(arm for row in scores.values() for arm in row))


def score_rows(summary: Summary) -> list[tuple[str, str, list[str]]]:
    """Per task: its name with metric, n and chance, then a text per arm."""
    arms = arm_names(summary.scores)
    rows = []
    for task, cells in summary.scores.items():
        first = next(iter(cells.values()))
        chance = summary.chance.get(task)
        about = f"n={first.n}" + (f", chance {chance:.2f}" if chance is not None else "")
        name = f"{task} ({first.metric})" if task != OVERALL else OVERALL
        rows.append((name, about, [format_cell(cells.get(arm)) for arm in arms]))
    return rows


def cost_rows(costs: Mapping[str, ArmCost], arms: Sequence[str]) -> list[tuple[str, list[str]]]:
    """What each arm costs: one row per quantity."""
    return [
        (label, [format_cell(getattr(costs[arm], field), digits) for arm in arms])
        for label, _, field, digits in QUANTITIES
    ]


def confidence_text(summary: Summary) -> str:
    """`S1 0.71, S2 0.80`: AUROC of confidence for being right; empty where nothing is known."""
    areas = summary.confidence_auroc.items()
    return ", ".join(f"{arm_label(arm)} {area:.2f}" for arm, area in areas)


def work_lines(summary: Summary) -> list[str]:
    """What the machine did and, of a live run, how the stream came."""
    lines = [_work_line(summary)]
    return lines if summary.live is None else [*lines, _live_line(summary.live)]


def _work_line(summary: Summary) -> str:
    work = summary.work
    return (
        f"{work.sessions} sessions, {work.stream_seconds / 60:.1f} min of video; "
        f"{work.frames_decoded} frames decoded, {work.frames_encoded} encoded "
        f"(+{work.frames_provisional} provisional); {work.model_calls} model calls; "
        f"decoder {work.decode_seconds:.1f} s CPU, language models {work.model_seconds:.1f} s, "
        f"all {work.wall_seconds:.1f} s"
    )


def _live_line(live: Live) -> str:
    window = "no frame shown"
    if live.window_p50_ms is not None and live.window_p95_ms is not None:
        window = f"to a window p50 {live.window_p50_ms:.0f} ms, p95 {live.window_p95_ms:.0f} ms"
    return (
        f"live: {live.frames_come} frames came, {live.frames_dropped} dropped, "
        f"{live.gaps} gaps of {live.gap_seconds:.1f} s in all; delay behind the fastest frame to the ring "
        f"p50 {live.ring_p50_ms:.0f} ms, p95 {live.ring_p95_ms:.0f} ms, {window}"
    )
