"""How far a run is, for displays."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dsb.config.schema import OutputConfig
from dsb.errors import BudgetExceeded
from dsb.evaluation.session.recorder import Tally
from dsb.evaluation.session.session import SessionOutcome


@dataclass(frozen=True)
class Count:
    """How many of something."""

    total: int = 0
    #: Finished without a failure, in this launch or an earlier one.
    done: int = 0
    failed: int = 0
    #: Finished in an earlier launch; part of `done` or `failed`.
    resumed: int = 0


@dataclass(frozen=True)
class Progress:
    """A run at one moment."""

    sessions: Count
    queries: Count
    #: Name of the session that is playing; empty between sessions.
    session: str = ""
    #: Stream seconds played by this launch.
    played_s: float = 0.0
    #: Wall seconds since this launch began to play.
    wall_s: float = 0.0
    #: Decisions of the deciding router on questions, by system.
    routed: dict[str, int] = field(default_factory=dict)
    #: Mean grade of the answers that this launch delivered, as the deciding router picked them;
    #: `None` before the first one. Scores with intervals come from the log.
    score: float | None = None
    #: Share of the planned work that is behind us, in [0, 1].
    share: float = 0.0

    @property
    def realtime(self) -> float:
        """Stream seconds per wall second."""
        return self.played_s / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def s2_share(self) -> float | None:
        """Share of questions that went to S2; `None` before the first one."""
        decisions = sum(self.routed.values())
        return self.routed.get("s2", 0) / decisions if decisions else None

    @property
    def eta_s(self) -> float | None:
        """Expected wall seconds until the end; `None` before there is something to go by."""
        return self.wall_s * (1 - self.share) / self.share if self.share > 0 else None


#: Called after every query and tick; must be cheap, and may raise to stop the run.
Observer = Callable[[Progress], None]
#: How well a text answers an item, in [0, 1]; `None` for an item that is not scored.
Judge = Callable[[str, str], float | None]


class Monitor:
    """Adds up sessions into a `Progress` and stops a run in which too much fails."""

    def __init__(
        self,
        sessions: Count,
        queries: Count,
        work: float,
        output: OutputConfig,
        observer: Observer | None = None,
        judge: Judge | None = None,
    ) -> None:
        self._now = Progress(sessions, queries)
        self._before = self._now
        self._work = work
        self._work_done = 0.0
        self._limit = output.max_errors
        self._observer = observer
        self._judge = judge
        self._judged: dict[str, float | None] = {}
        self._begun = time.monotonic()
        #: Why the last session that did not end did not.
        self.last_error = ""

    @property
    def progress(self) -> Progress:
        """The state now."""
        return self._now

    def step(self, session: str, work: float, items: int, tally: Tally) -> None:
        """Take in what happened in the session that is playing. Raises `BudgetExceeded` above
        `max_errors`.
        """
        share = len(tally.asked) / items if items else 0.0
        self._show(session, tally, self._work_done + work * share)
        self._check()

    def finish(self, outcome: SessionOutcome, work: float, items: int) -> None:
        """A session is over. Raises `BudgetExceeded` above `max_errors`."""
        self._work_done += work
        self._show("", outcome.tally, self._work_done)
        count, before = self._now.sessions, self._before
        queries = self._now.queries
        if outcome.done:
            count = replace(count, done=count.done + 1)
        else:
            self.last_error = outcome.error
            # Whatever was answered is not counted: a session that did not end is played again as a
            # whole.
            count = replace(count, failed=count.failed + 1)
            queries = replace(before.queries, failed=before.queries.failed + items)
        self._now = replace(self._now, sessions=count, queries=queries)
        self._before = self._now
        self._tell()
        self._check()

    def _show(self, session: str, tally: Tally, work_done: float) -> None:
        before = self._before
        good = len(tally.asked - tally.failed)
        bad = len(tally.failed)
        self._now = replace(
            before,
            session=session,
            queries=replace(
                before.queries,
                done=before.queries.done + good,
                failed=before.queries.failed + bad,
            ),
            played_s=before.played_s + tally.played_ns / 1e9,
            wall_s=time.monotonic() - self._begun,
            routed={
                name: before.routed.get(name, 0) + tally.routed.get(name, 0)
                for name in ("s1", "s2")
            },
            score=self._score(tally),
            share=work_done / self._work if self._work else 1.0,
        )
        if session:
            self._tell()

    def _score(self, tally: Tally) -> float | None:
        if self._judge is None:
            return None
        for item in tally.delivered.keys() - self._judged.keys():
            self._judged[item] = self._judge(item, tally.delivered[item])
        verdicts = [verdict for verdict in self._judged.values() if verdict is not None]
        return sum(verdicts) / len(verdicts) if verdicts else None

    def _tell(self) -> None:
        if self._observer is not None:
            self._observer(self._now)

    def _check(self) -> None:
        failed, total = self._now.queries.failed, self._now.queries.total
        allowed = self._limit if self._limit >= 1 else self._limit * total
        if failed > allowed:
            last = f"; the last session ended with {self.last_error}" if self.last_error else ""
            raise BudgetExceeded(
                f"{failed} of {total} queries failed, more than `output.max_errors: "
                f"{self._limit:g}` allows{last}; see `dsb results check` for all causes, "
                "then continue with `--resume`"
            )
