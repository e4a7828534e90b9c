"""Who plays the sessions of a run: this process, or others (the door for workers and clusters)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dsb.config.schema import RunConfig
from dsb.evaluation.plan import SessionPlan
from dsb.evaluation.session.recorder import Tally
from dsb.evaluation.session.session import SessionOutcome
from dsb.stream.decoding import DecoderChoice


@dataclass(frozen=True)
class Job:
    """What every worker of a run needs to know; a value that can be pickled."""

    config: RunConfig
    decoder: DecoderChoice
    run_dir: Path


@dataclass(frozen=True)
class SessionWork:
    """One session to play; a value that can be pickled."""

    plan: SessionPlan
    #: Counted from 1 over all launches of the run.
    attempt: int


@dataclass(frozen=True)
class Stepped:
    """A session has finished a query or tick; a value that can be pickled."""

    work: SessionWork
    tally: Tally


@dataclass(frozen=True)
class Ended:
    """A session is over; a value that can be pickled."""

    work: SessionWork
    outcome: SessionOutcome


Event = Stepped | Ended
#: Hears of everything that happens; may raise to stop the run.
OnEvent = Callable[[Event], None]


class Executor(Protocol):
    """Plays sessions, each of them once, into segments of one run directory."""

    def run(self, job: Job, works: Sequence[SessionWork], on_event: OnEvent) -> None:
        """Take the sessions in their order. Whatever `on_event` raises ends the run; what was logged stays.

        Raises:
            ModelError, MissingDependency: a worker cannot load its models.
            RunError: the log cannot be written.
        """
