"""Settings of all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from families_table import FamiliesTable

# A loaded machine is no reason to fail: no test measures time.
settings.register_profile("dsb", deadline=None, print_blob=True)
settings.load_profile("dsb")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--families-table",
        type=Path,
        metavar="PAGE",
        help="write the outcomes of the tests marked `equality` as the table of PAGE (docs/families.md)",
    )


def pytest_configure(config: pytest.Config) -> None:
    page = config.getoption("--families-table")
    if page is not None:
        config.pluginmanager.register(FamiliesTable(page))
