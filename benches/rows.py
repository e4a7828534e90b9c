"""What every Python bench prints and writes: rows of medians with their spread."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measured number. For repeated measurements the median with the smallest and the largest."""

    case: str
    subject: str
    metric: str
    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, case: str, subject: str, metric: str, values: Sequence[float]) -> Row:
        """From one value per round."""
        return cls(
            case,
            subject,
            metric,
            statistics.median(values),
            min(values),
            max(values),
            len(values),
        )


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as a JSON list."""
    path.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")


def print_rows(rows: Sequence[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("| case | subject | metric | median | low | high | rounds |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.case} | {row.subject} | {row.metric} | {row.median:.4g} | {row.low:.4g} "
            f"| {row.high:.4g} | {row.rounds} |"
        )
