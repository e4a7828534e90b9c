"""Progress of work that is counted: pieces of pieces, bytes of bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dsb.cli.display.console import bytes_text, console, note

#: Without a terminal, a line is printed at most this often.
_LINE_EVERY_S = 5.0


class _Bar:
    """On standard error: a bar on a terminal, else a line now and then."""

    def __init__(self, what: str, *columns: ProgressColumn) -> None:
        self._what = what
        err = console(stderr=True)
        self._bar: Progress | None = None
        if err.is_terminal:
            shown = (TextColumn("{task.description}"), BarColumn(), *columns, TimeRemainingColumn())
            self._bar = Progress(*shown, console=err, transient=True)
            self._task = self._bar.add_task(what, total=None)
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def _show(self, done: int, total: int | None, line: Callable[[], str]) -> None:
        if self._bar:
            self._bar.update(self._task, completed=done, total=total)
        elif total is not None and time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            note(line())


class Counting(_Bar):
    """Shows `done of total` pieces."""

    def __init__(self, what: str) -> None:
        """`what` is counted, in the plural."""
        super().__init__(what, MofNCompleteColumn())

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` pieces are finished."""
        self._show(done, total, lambda: f"{done} of {total} {self._what}")


class Transfer(_Bar):
    """Shows how far a fetch is."""

    def __init__(self, what: str) -> None:
        """`what` is fetched."""
        super().__init__(what, DownloadColumn(), TransferSpeedColumn())
        self._phase = ""

    def __call__(self, phase: str, done: int, total: int) -> None:
        """`done` of `total` bytes of this phase are finished; a total of 0 is unknown."""
        if self._bar and phase != self._phase:
            self._bar.reset(self._task, description=f"{phase} {self._what}")
        self._phase = phase
        self._show(
            done,
            total or None,
            lambda: f"{phase} {self._what}: {bytes_text(done)} of {bytes_text(total)}",
        )
