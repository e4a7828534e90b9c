"""Numbers as text: the same wherever a summary is shown."""

from __future__ import annotations

import pytest

from dsb.analysis.summary.schema import Cell
from dsb.reports.rows import arm_names, compact_cell, format_cell


def cell(value: float, low: float, high: float) -> Cell:
    return Cell(value=value, low=low, high=high, n=7, metric="accuracy")


def test_a_cell_shows_its_interval_and_an_absent_one_a_dash() -> None:
    assert format_cell(cell(0.971, 0.94, 0.994)) == "0.97 [0.94, 0.99]"
    assert format_cell(cell(12.26, 9.0, 15.0), digits=1) == "12.3 [9.0, 15.0]"
    assert format_cell(None) == compact_cell(None) == "-"


@pytest.mark.parametrize(
    ("value", "text"), [(0.971, ".97"), (1.0, "1.00"), (12.26, "12.3"), (431.7, "432")]
)
def test_a_narrow_column_gets_as_many_digits_as_tell_something(value: float, text: str) -> None:
    assert compact_cell(cell(value, value, value)) == f"{text}\n[{text},{text}]"


def test_arms_come_in_the_order_in_which_tasks_name_them() -> None:
    each = cell(1, 1, 1)
    scores = {"a": {"s1": each, "s2": each}, "b": {"s2": each, "blind": each}}
    assert arm_names(scores) == ["s1", "s2", "blind"]
