"""How far a run is: a live display on a terminal, otherwise a plain line now and then."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from dsb.cli.display.bar import Transfer
from dsb.cli.display.console import console, note

if TYPE_CHECKING:
    from dsb.config.schema import ModelConfig
    from dsb.evaluation.progress import Count, Progress

#: Seconds between two plain lines.
PLAIN_INTERVAL_S = 15.0


class ProgressDisplay:
    """Shows the newest `Progress` on standard error; see `dsb.evaluation.display.Display`."""

    def __init__(self) -> None:
        self._newest: Progress | None = None
        self._shown: Progress | None = None
        self._next_line_s = 0.0
        err = console(stderr=True)
        self._live = (
            Live(console=err, get_renderable=self._render, refresh_per_second=4, transient=True)
            if err.is_terminal
            else None
        )

    def __enter__(self) -> ProgressDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        if self._newest is not None and self._newest is not self._shown:
            note(one_line(self._newest))

    def progress(self, now: Progress) -> None:
        """Take in the newest state."""
        self._newest = now
        if self._live is None and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + PLAIN_INTERVAL_S
            self._shown = now
            note(one_line(now))

    def note(self, text: str) -> None:
        """A remark, above the live display."""
        if self._live:
            self._live.console.print(Text(text), soft_wrap=True)
        else:
            note(text)

    def bring(self, model: ModelConfig) -> None:
        """Fetch a checkpoint under a bar of its own, in place of the live display."""
        from dsb.models.store.fetch import fetch

        if self._live:
            self._live.stop()
        with Transfer(model.path) as transfer:
            fetch(model.path, hub=model.hub, progress=transfer)
        if self._live:
            self._live.start()

    def _render(self) -> RenderableType:
        if self._newest is None:
            return Text("preparing ...")
        bar = ProgressBar(total=1.0, completed=self._newest.share, width=60)
        return Group(bar, Text("\n".join(parts(self._newest))))


def one_line(progress: Progress) -> str:
    """The state as one line of text."""
    return " | ".join(parts(progress))


def parts(progress: Progress) -> list[str]:
    """The state in short texts, the most important first."""
    found = [_count("sessions", progress.sessions), _count("queries", progress.queries)]
    if progress.wall_s:
        hours = progress.played_s / 3600
        found.append(f"{hours:.2f} h of video at {progress.realtime:.1f}x realtime")
    if progress.s2_share is not None:
        found.append(f"S1 {1 - progress.s2_share:.0%}, S2 {progress.s2_share:.0%}")
    if progress.score is not None:
        found.append(f"{progress.score:.0%} right so far")
    if progress.eta_s is not None and progress.share < 1:
        found.append(f"{clock(progress.eta_s)} to go")
    return found


def clock(seconds: float) -> str:
    """`75.2` -> `1:15`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _count(name: str, count: Count) -> str:
    text = f"{name} {count.done + count.failed}/{count.total}"
    extras = [f"{count.resumed} resumed"] if count.resumed else []
    extras += [f"{count.failed} failed"] if count.failed else []
    return f"{text} ({', '.join(extras)})" if extras else text
