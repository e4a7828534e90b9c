"""Writes the records of one session: fills in session, sequence and times, and counts what
happened.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from dsb.errors import BudgetExceeded, DsbError
from dsb.models.backend import Reply
from dsb.runlog.log import LogWriter
from dsb.runlog.records import Call, Failure, Record

R = TypeVar("R", bound=Record)


@dataclass
class Tally:
    """What happened in a session so far."""

    #: Ids of items that were asked to the end, failed ones too.
    asked: set[str] = field(default_factory=set)
    #: Ids of items that at least one system failed to answer.
    failed: set[str] = field(default_factory=set)
    #: Decisions of the deciding router on questions.
    routed: dict[str, int] = field(default_factory=lambda: {"s1": 0, "s2": 0})
    #: Per question, the answer of the system that the deciding router picked.
    delivered: dict[str, str] = field(default_factory=dict)
    #: Stream time that has been played, in nanoseconds.
    played_ns: int = 0


#: Called after each step of a session; may raise `BudgetExceeded` to stop it.
OnStep = Callable[[Tally], None]


class Recorder:
    """The one way from a session to the run log."""

    def __init__(
        self,
        log: LogWriter,
        session: str,
        *,
        save_text: bool = True,
        on_step: OnStep | None = None,
    ) -> None:
        self.session = session
        self.tally = Tally()
        #: Stream time of the records to come, in nanoseconds.
        self.now_ns = 0
        self._log = log
        self._save_text = save_text
        self._on_step = on_step
        self._seq = 0
        self._begun_ns = time.perf_counter_ns()

    @property
    def wall_ns(self) -> int:
        """Wall time since the session began."""
        return time.perf_counter_ns() - self._begun_ns

    def write(self, record: type[R], /, **fields: object) -> None:
        """Append a record of this session; `t_stream_ns` is `now_ns` unless it is given."""
        fields.setdefault("t_stream_ns", self.now_ns)
        self._log.append(
            record(session=self.session, seq=self._seq, t_wall_ns=self.wall_ns, **fields)
        )
        self._seq += 1

    def commit(self) -> None:
        """Return once all records are on the disk."""
        self._log.commit()

    def step(self) -> None:
        """Tell the observer that something was finished. Raises `BudgetExceeded` when it wants to
        stop.
        """
        self.tally.played_ns = max(self.tally.played_ns, self.now_ns)
        if self._on_step is not None:
            self._on_step(self.tally)

    def call(
        self,
        query: str,
        system: str,
        purpose: Literal["answer", "repair", "tick", "observe"],
        reply: Reply,
        candidates: tuple[str, ...] = (),
    ) -> None:
        """Record one call of a model."""
        timing, usage = reply.timing, reply.usage
        self.write(
            Call,
            query=query,
            system=system,
            purpose=purpose,
            input_hash=reply.input_hash,
            frames=reply.frames,
            visible_until_ns=reply.visible_until_ns,
            service_ns=timing.service_ns,
            ttft_ns=timing.ttft_ns,
            encode_ns=timing.encode_ns,
            prefill_ns=timing.prefill_ns,
            decode_ns=timing.decode_ns,
            input_tokens=usage.input_tokens,
            visual_tokens=usage.visual_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            finish=reply.finish,
            text=reply.text if self._save_text else "",
            candidates=list(candidates),
            candidate_logprobs=_floats(reply.candidate_logprobs),
            token_logprobs=_floats(reply.token_logprobs) if self._save_text else None,
        )

    def failure(self, error: BaseException, *, query: str | None, system: str | None) -> None:
        """Record an error with its traceback."""
        self.write(
            Failure,
            query=query,
            system=system,
            type=type(error).__name__,
            message=str(error),
            traceback="".join(traceback.format_exception(error)),
            retryable=is_retryable(error),
        )


def is_retryable(error: BaseException) -> bool:
    """Whether the same call may succeed when it is made again."""
    return isinstance(error, DsbError) and error.retryable


def stops_the_run(error: BaseException) -> bool:
    """Whether an error concerns more than the query in which it surfaced."""
    return isinstance(error, BudgetExceeded)


def _floats(values: tuple[float, ...] | None) -> list[float] | None:
    return None if values is None else list(values)
