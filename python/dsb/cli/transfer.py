"""Progress of a fetch: bytes of bytes."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dsb.cli import display

#: Without a terminal, a line is printed at most this often.
_LINE_EVERY_S = 5.0


class Transfer:
    """Shows how far a fetch is on standard error: a bar on a terminal, else a line now and then."""

    def __init__(self, what: str) -> None:
        """`what` is fetched."""
        self._what = what
        console = display.console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
            more = (TransferSpeedColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, *more, console=console, transient=True)
            self._task = self._bar.add_task(what, total=None)
        self._last_line = time.monotonic()
        self._phase = ""

    def __enter__(self) -> Transfer:
        if self._bar:
            self._bar.start()
        return self

    def __call__(self, phase: str, done: int, total: int) -> None:
        """`done` of `total` bytes of this phase are finished."""
        if self._bar:
            if phase != self._phase:
                self._bar.reset(self._task, description=f"{phase} {self._what}")
            self._bar.update(self._task, completed=done, total=total or None)
        elif total and time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            display.note(
                f"{phase} {self._what}: {display.bytes_text(done)} of {display.bytes_text(total)}"
            )
        self._phase = phase

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
