"""Settings of all tests."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from families_table import FamiliesTable
from fast import Fast
from surroundings import forget_the_shell

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
    parser.addoption(
        "--fast", action="store_true", help="skip tests when they start a process or load a model"
    )


def pytest_configure(config: pytest.Config) -> None:
    page = config.getoption("--families-table")
    if page is not None:
        config.pluginmanager.register(FamiliesTable(page))
    if config.getoption("--fast"):
        config.pluginmanager.register(Fast())
    # Libraries read their variables when they are imported, which is before any fixture.
    caches = tempfile.TemporaryDirectory(prefix="dsb-tests-")
    config.add_cleanup(caches.cleanup)
    forget_the_shell(Path(caches.name))


@pytest.fixture(scope="session", autouse=True)
def _nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests work in an empty folder: no run, model or video of this clone is in sight."""
    folder = tmp_path_factory.mktemp("nowhere")
    with contextlib.chdir(folder):
        yield folder


@pytest.fixture(autouse=True)
def _leaves_nothing(_nowhere: Path) -> Iterator[None]:
    """What a test writes belongs into its `tmp_path`."""
    before = set(_nowhere.iterdir())
    yield
    assert set(_nowhere.iterdir()) == before
