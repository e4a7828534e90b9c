"""The plugin behind `pytest --fast`: tests that need neither a model nor a process.

Nobody marks them. A test that starts a process or loads torch is skipped at the moment when it does so, be it in a
fixture, a thread or the import of its file; what gets through is fast by nature, except for tests marked `slow`.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest

#: What the interpreter reports before a process is started.
PROCESSES = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
MODELS = {"torch", "transformers"}


class Fast:
    """Skips whatever is not fast."""

    def __init__(self) -> None:
        self._reason = ""
        sys.addaudithook(self._met)

    def _met(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in PROCESSES:
            self._skip("starts a process")
        # `import_module` reports nothing itself; what the package then imports of its own does.
        elif event == "import" and (package := arguments[0].partition(".")[0]) in MODELS:
            self._skip(f"loads {package}")

    def _skip(self, reason: str) -> None:
        self._reason = reason
        raise pytest.skip.Exception(reason, allow_module_level=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.get_closest_marker("slow") is None]

    def pytest_runtest_logstart(self) -> None:
        self._reason = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Also skips what failed because the code under test, or a thread of it, has caught the skip."""
        report = yield
        if self._reason and report.failed:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, self._reason)
        return report
