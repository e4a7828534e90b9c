"""The table of docs/families.md is the one that the tests would write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsb.models.local.families import FAMILIES
from families_table import SUPERSCRIPTS, Cell, FamiliesTable, features, read, render
from paths import ROOT

PAGE = ROOT / "docs" / "families.md"
COMMAND = (
    "pytest --families-table docs/families.md tests/models/local/families "
    "tests/models/local/engine/equalities"
)


def test_the_page_has_a_column_for_every_family() -> None:
    families, _ = read(PAGE)
    assert families == sorted(kind for kinds in FAMILIES.values() for kind in kinds), COMMAND


def test_the_page_has_a_row_for_every_feature_that_a_test_is_marked_with() -> None:
    _, rows = read(PAGE)
    assert {row[0] for row in rows} == features((ROOT / "tests").rglob("test_*.py")), COMMAND


def test_the_page_shows_no_failure_and_no_gap_and_a_reason_for_every_no() -> None:
    families, rows = read(PAGE)
    reasons = re.findall(rf"^([{SUPERSCRIPTS}]) \S", PAGE.read_text("utf-8"), re.MULTILINE)
    outcome = re.compile(rf"yes|(?:yes|no)[{SUPERSCRIPTS}]+")
    for feature, *cells in rows:
        assert len(cells) == len(families), (feature, COMMAND)
        assert all(outcome.fullmatch(cell) for cell in cells), (feature, COMMAND)
        assert set(SUPERSCRIPTS) & set("".join(cells)) <= set(reasons), (feature, COMMAND)


def test_every_backend_of_the_page_is_described_below_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for backend, kinds in FAMILIES.items():
        assert f"`{backend}`" in page
        assert all(f"`{kind}`" in page for kind in kinds)


def test_a_table_says_yes_only_where_every_test_passed() -> None:
    table = render(
        {
            "one": {"a": Cell(passed=2), "b": Cell(passed=1, failed=1)},
            "two": {"a": Cell(reasons=["never", "never"]), "b": Cell(passed=1, reasons=["late"])},
            "three": {"a": Cell(passed=1)},
        }
    )
    assert "| one | yes | fails |" in table
    assert "| two | no¹ | yes² |" in table
    assert "| three | yes | not tested |" in table
    assert "¹ never" in table
    assert "² late" in table


def test_a_run_writes_the_outcomes_into_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- table: begin -->\nold\n<!-- table: end -->\nbelow\n")
    module = tmp_path / "test_small.py"
    module.write_text(
        "import pytest\n"
        '@pytest.mark.equality("counts")\n'
        '@pytest.mark.parametrize("family", ["x", "y", "z"])\n'
        "def test_counting(family):\n"
        '    if family == "y":\n'
        '        pytest.skip("y has no numbers")\n'
        '    assert family == "x"\n'
    )
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    code = pytest.main([*options, "--rootdir", str(tmp_path), str(module)], [FamiliesTable(page)])
    assert code == pytest.ExitCode.TESTS_FAILED
    assert read(page) == (["x", "y", "z"], [["counts", "yes", "no¹", "fails"]])
    assert page.read_text().startswith("above\n")
    assert page.read_text().endswith("below\n")
