"""The table of docs/families.md: what each model family can do, from the outcomes of the tests that say so.

A test says it by `@pytest.mark.equality("name of the feature")` and a parameter called `family`, the model type.
It skips, with the reason, for a family whose architecture does not allow the feature.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
SUPERSCRIPTS = "¹²³⁴⁵⁶⁷⁸⁹"


@dataclass
class Cell:
    """The outcomes of all tests of one feature and one family."""

    passed: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)


class FamiliesTable:
    """Pytest plugin that collects the outcomes of a run and writes the table into a page."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.cells: dict[str, dict[str, Cell]] = defaultdict(lambda: defaultdict(Cell))
        self._places: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            mark = item.get_closest_marker("equality")
            if mark is not None:
                family = item.callspec.params["family"]  # type: ignore[attr-defined]
                self._places[item.nodeid] = (mark.args[0], family)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid not in self._places or (report.when != "call" and report.passed):
            return
        feature, family = self._places[report.nodeid]
        cell = self.cells[feature][family]
        if report.passed:
            cell.passed += 1
        elif report.failed:
            cell.failed += 1
        elif isinstance(report.longrepr, tuple):
            cell.reasons.append(report.longrepr[2].removeprefix("Skipped: "))

    def pytest_sessionfinish(self) -> None:
        text = self.page.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        _, tail = rest.split(END)
        table = f"{head}{BEGIN}\n{render(self.cells)}{END}{tail}"
        self.page.write_text(table, encoding="utf-8")


def render(cells: Mapping[str, Mapping[str, Cell]]) -> str:
    """Features down, families across; the reasons of every "no" below."""
    families = sorted({family for row in cells.values() for family in row})
    reasons: list[str] = []
    lines = ["| | " + " | ".join(f"`{family}`" for family in families) + " |"]
    lines.append("|---|" + "---|" * len(families))
    for feature, row in cells.items():
        words = [_word(row.get(family, Cell()), reasons) for family in families]
        lines.append(f"| {feature} | " + " | ".join(words) + " |")
    notes = [f"{SUPERSCRIPTS[i]} {reason}  " for i, reason in enumerate(reasons)]
    return "\n".join([*lines, "", *notes]) + "\n"


def _word(cell: Cell, reasons: list[str]) -> str:
    marks = ""
    for reason in dict.fromkeys(cell.reasons):
        if reason not in reasons:
            reasons.append(reason)
        marks += SUPERSCRIPTS[reasons.index(reason)]
    if cell.failed:
        return "fails" + marks
    return ("yes" if cell.passed else "no" if marks else "not tested") + marks


def read(page: Path) -> tuple[list[str], list[list[str]]]:
    """Families and rows (the feature first) of the table in `page`."""
    table = page.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    return [cell.strip("`") for cell in rows[0][1:]], rows[2:]


def features(tests: Iterable[Path]) -> set[str]:
    """Every feature that a test in `tests` carries."""
    pattern = re.compile(r'^@pytest\.mark\.equality\(\s*"([^"]+)"', re.MULTILINE)
    return {name for file in tests for name in pattern.findall(file.read_text(encoding="utf-8"))}
