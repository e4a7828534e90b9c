"""What happens in a session, moment by moment in stream-time order, and when it is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from dsb._core import Event, Scheduler
from dsb.errors import SourceError
from dsb.evaluation.plan import PlannedInstruction, PlannedQuery, SessionPlan
from dsb.evaluation.session.feed import BATCH
from dsb.stream.window import seconds_to_ns

#: Models prefill by themselves when frames are handed to them, so the scheduler's own chunks are
#: as long as a stream can be and never come.
_NO_PREFILL = 1 << 31


@dataclass(frozen=True)
class Show:
    """Frames have come on screen."""

    t_ns: int


@dataclass(frozen=True)
class Tick:
    """Standing instructions have a tick."""

    t_ns: int
    instructions: tuple[PlannedInstruction, ...]
    #: Those of them that are given only now.
    given: tuple[PlannedInstruction, ...]


@dataclass(frozen=True)
class Ask:
    """Questions are asked, in this order."""

    t_ns: int
    queries: tuple[PlannedQuery, ...]


@dataclass(frozen=True)
class Write:
    """S1 writes down what is visible, for long-term memory."""

    t_ns: int


@dataclass(frozen=True)
class End:
    """Nothing follows."""

    t_ns: int


Moment = Show | Tick | Ask | Write | End


@dataclass(frozen=True)
class Agenda:
    """The moments of one session; of several at one time frames come first, then ticks, questions, notes."""

    plan: SessionPlan
    #: The last moment that matters.
    end_ns: int
    #: Frames per second of stream time.
    fps: Fraction
    #: Seconds between two ticks of an instruction.
    tick_s: Fraction
    #: Seconds between two notes for long-term memory; `None` for no notes.
    write_every_s: float | None = None

    def __iter__(self) -> Iterator[Moment]:
        """In the order in which they happen."""
        # A moment is all events of one kind at one time.
        for (t_ns, kind), events in groupby(self._events(), key=lambda e: (e.t_ns, e.kind)):
            if kind == "poll":
                yield self._tick(t_ns, list(events))
            elif kind == "query":
                yield from self._asked(t_ns, [event.key for event in events])
            elif kind == "frames":
                yield Show(t_ns)
            elif kind == "end":
                yield End(t_ns)

    def _tick(self, t_ns: int, events: list[Event]) -> Tick:
        instructions = [self.plan.instructions[event.key] for event in events]
        given = [
            instruction
            for event, instruction in zip(events, instructions, strict=True)
            if event.index == 0
        ]
        return Tick(t_ns, tuple(instructions), tuple(given))

    def _asked(self, t_ns: int, keys: list[int]) -> Iterator[Moment]:
        queries = tuple(self.plan.queries[key] for key in keys if key < len(self.plan.queries))
        if queries:
            yield Ask(t_ns, queries)
        if len(queries) < len(keys):
            yield Write(t_ns)

    def _events(self) -> Scheduler:
        plan = self.plan
        # The scheduler knows numbers only: places in the plan, and behind them one for all notes.
        asked = [(query.question.t_ns, key) for key, query in enumerate(plan.queries)]
        asked += [(t_ns, len(plan.queries)) for t_ns in self._notes()]
        polls = [
            (
                key,
                instruction.question.t_ns,
                self.end_ns + 1 if instruction.stop_ns is None else instruction.stop_ns,
            )
            for key, instruction in enumerate(plan.instructions)
        ]
        tick = self.tick_s.numerator, self.tick_s.denominator
        return Scheduler(
            frame_rate=(self.fps.numerator, self.fps.denominator),
            end_ns=self.end_ns,
            queries=asked,
            polls=[(key, start, stop, tick) for key, start, stop in polls if start < stop],
            prefill_stride=_NO_PREFILL,
            max_frames=BATCH,
        )

    def _notes(self) -> range:
        if self.write_every_s is None:
            return range(0)
        every_ns = seconds_to_ns(self.write_every_s)
        return range(every_ns, self.end_ns + 1, every_ns)


def last_moment_ns(plan: SessionPlan, length_s: Callable[[Path], float | None]) -> int:
    """When a session is over: with its last question or tick, or at the end of its video.

    `length_s` gives the length of a video in seconds; it is asked only where that matters.

    Raises:
        SourceError: the end of the video matters and nobody knows it.
    """
    if plan.end_ns is not None:
        return plan.end_ns
    remedy = "set `meta.end_s` of its proactive items"
    if plan.live:
        raise SourceError(f"nobody knows when a live stream ends; {remedy}")
    duration_s = length_s(plan.video)
    if duration_s is None:
        raise SourceError(
            f"{plan.video} does not say how long it is, so nobody knows when to stop polling; {remedy}"
        )
    # An instruction given after the end has one tick, as a question has one answer.
    asked = [query.question.t_ns for query in plan.queries]
    given = [instruction.question.t_ns for instruction in plan.instructions]
    return max([seconds_to_ns(duration_s), *asked, *given])
