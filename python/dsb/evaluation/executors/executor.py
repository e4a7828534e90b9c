"""Who plays the sessions of a run: this process, or others (the door for workers and clusters)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from dsb.evaluation.plan import SessionPlan
from dsb.evaluation.session.session import SessionOutcome
from dsb.runlog.log import LogWriter

#: Plays one session into a log.
Play = Callable[[SessionPlan, LogWriter], SessionOutcome]
#: Hears of every session that is over; may raise to stop the run.
OnDone = Callable[[SessionPlan, SessionOutcome], None]


class Executor(Protocol):
    """Plays sessions, each of them once, into segments of one run directory."""

    def run(
        self, sessions: Sequence[SessionPlan], play: Play, run_dir: Path, on_done: OnDone
    ) -> None:
        """Take the sessions in their order. Whatever `play` or `on_done` raises ends the run; what
        was logged stays.
        """
