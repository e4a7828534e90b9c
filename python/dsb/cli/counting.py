"""Progress of work that is counted in pieces: videos written, videos checked."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dsb.cli import display

#: Without a terminal, a line is printed at most this often.
_LINE_EVERY_S = 5.0


class Counting:
    """Shows `done of total` on standard error: a bar on a terminal, else a line now and then."""

    def __init__(self, what: str) -> None:
        """`what` is counted, in the plural."""
        self._what = what
        console = display.console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._task = self._bar.add_task(what, total=None)
        self._last_line = time.monotonic()

    def __enter__(self) -> Counting:
        if self._bar:
            self._bar.start()
        return self

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` pieces are finished."""
        if self._bar:
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            display.note(f"{done} of {total} {self._what}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
