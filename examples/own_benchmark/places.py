"""A benchmark with rules of its own: where on the screen is something, or was it? Half a place is half a point.

    python -m places questions.csv data/places

writes the questions of a CSV file (columns `video`, `ask_time_s`, `question`, `place`) as items of dsb.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import dsb

ROWS = {"top": {"top", "upper", "above"}, "bottom": {"bottom", "lower", "below"}}
COLUMNS = {"left": {"left"}, "right": {"right"}}


def read_questions(path: Path) -> list[dsb.Item]:
    """The items behind a CSV file, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_item(number, row) for number, row in enumerate(csv.DictReader(file), start=1)]


def _item(number: int, row: Mapping[str, str]) -> dsb.Item:
    now = row["question"].endswith("now?")
    return dsb.Item(
        id=f"places-{number:02d}",
        task="realtime" if now else "clue",
        source="places",
        category="places.now" if now else "places.past",
        video=row["video"],
        ask_time_s=float(row["ask_time_s"]),
        question=row["question"],
        answer=dsb.Answer(option=None, text=row["place"]),
    )


def read_place(item: dsb.Item, text: str) -> str | None:
    """The place that a text names: `In the upper right corner.` is `top-right`. `None` if it names none, or two."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    rows = [row for row, names in ROWS.items() if words & names]
    columns = [column for column, names in COLUMNS.items() if words & names]
    return f"{rows[0]}-{columns[0]}" if len(rows) == len(columns) == 1 else None


class Places(dsb.ItemFiles):
    """Items from files, as every benchmark without a loader of its own; how they are graded is ours."""

    name = "places"
    protocols: Mapping[str, dsb.Protocol] = {
        "default": dsb.Protocol("default", read=read_place),
        "official": dsb.Protocol(
            "official",
            # What the rules of the benchmark fix. Whoever sets another value gets another run.
            settings={
                "video.fps": 1,
                "system.s1.window.max_frames": 8,
                "system.s1.answering": "text",
                "system.s2.window.max_frames": 60,
                "system.s2.answering": "text",
            },
            prompts=dict.fromkeys(("realtime", "clue"), "{question} Answer with one place."),
            read=read_place,
            aggregation="mean",
        ),
    }

    def grade(self, protocol: dsb.Protocol, item: dsb.Item, delivered: dsb.Delivered) -> dsb.Grade:
        """Half a point for the right row, half for the right column."""
        if item.answer is None:
            return super().grade(protocol, item, delivered)
        said = None if delivered.text is None else protocol.read(item, delivered.text)
        pairs = zip((said or "").split("-"), item.answer.text.split("-"), strict=False)
        points = sum(0.5 for mine, right in pairs if mine == right)
        return dsb.Grade(points, numerator=points, denominator=1.0, read=said)


#: What the entry point in `pyproject.toml` names.
PLACES: dsb.Benchmark = Places()


if __name__ == "__main__":
    dsb.dump_items(read_questions(Path(sys.argv[1])), Path(sys.argv[2]) / "final" / "all.json")
