"""A run log as tables: one row per answer, per standing instruction, per route; the gold beside them.

Everything that is said about a run stands on this one reading of its log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from dsb.benchmarks.item import Item
from dsb.runlog.records import (
    Answered,
    Call,
    Failure,
    Frames,
    Record,
    Route,
    SessionEnd,
    SessionStart,
    Turns,
)


@dataclass
class CallTotals:
    """All calls behind one answer of one system."""

    input_tokens: int = 0
    output_tokens: int = 0
    #: Stream time of the oldest frame that a call could depend on; `None` when it saw none.
    visible_from_ns: int | None = None
    #: Log-probabilities of the candidates; empty where the system generates.
    candidate_logprobs: tuple[float, ...] = ()


@dataclass
class Ticks:
    """The ticks of one standing instruction in one system, in stream order."""

    ticks_ns: list[int] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    service_ns: list[int] = field(default_factory=list)

    def extend(self, record: Turns) -> None:
        """Add the next ticks."""
        self.ticks_ns += record.ticks_ns
        self.states += record.states
        self.actions += record.actions
        self.scores += record.scores
        self.service_ns += record.service_ns


@dataclass
class Routing:
    """The decisions of one router for one query: one, or one per tick."""

    stage: str
    actions: list[str] = field(default_factory=list)
    service_ns: int = 0


@dataclass
class RunData:
    """The complete sessions of one run. Keys are (item id, system) and (item id, router)."""

    items: dict[str, Item]
    answers: dict[tuple[str, str], Answered] = field(default_factory=dict)
    calls: dict[tuple[str, str], CallTotals] = field(default_factory=dict)
    ticks: dict[tuple[str, str], Ticks] = field(default_factory=dict)
    routes: dict[tuple[str, str], Routing] = field(default_factory=dict)
    #: Only of items, and only what no further try mended; in the order of the benchmark.
    failures: dict[tuple[str, str | None], Failure] = field(default_factory=dict)
    ends: dict[str, SessionEnd] = field(default_factory=dict)
    #: Items that a complete session was to ask, in the order of the benchmark.
    asked: list[str] = field(default_factory=list)
    #: Items that a complete session was to ask and that the run does not know.
    unknown: set[str] = field(default_factory=set)
    #: Items that are in the log twice: in two sessions, or with two answers of a system, or with
    #: the same tick again.
    doubled: set[str] = field(default_factory=set)
    systems: list[str] = field(default_factory=list)
    #: System -> session -> wall time to the first token of each call, whatever it was for.
    ttft_ns: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    @property
    def routers(self) -> list[str]:
        """Routers in the order in which they first decided."""
        return list(dict.fromkeys(name for _, name in self.routes))


def tabulate(items: Iterable[Item], records: Iterable[Record]) -> RunData:
    """Sort the records of complete sessions into tables; the order of the sessions changes nothing."""
    fold = _Fold(items)
    for record in records:
        fold.add(record)
    return fold.finish()


class _Fold:
    """One pass over the records; those of a session come together, in their order."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._data = RunData({item.id: item for item in items})
        #: How many times each item was to be asked.
        self._asked = Counter[str]()
        #: Of the session that is being read: frame -> its time.
        self._pts_ns: dict[int, int] = {}

    def add(self, record: Record) -> None:
        data = self._data
        match record:
            case Call():
                self._add_call(record)
            case Turns():
                data.ticks.setdefault((record.query, record.system), Ticks()).extend(record)
            case Frames():
                self._pts_ns.update(enumerate(record.pts_ns, record.start))
            case Answered():
                key = record.query, record.system
                if key in data.answers:
                    data.doubled.add(record.query)
                data.answers[key] = record
            case Route():
                self._add_route(record)
            case Failure():
                if record.query is not None:
                    data.failures[record.query, record.system] = record
            case SessionStart():
                self._asked.update(record.items)
                data.systems += [name for name in record.systems if name not in data.systems]
                self._pts_ns = {}
            case SessionEnd():
                data.ends[record.session] = record
            case _:
                pass

    def finish(self) -> RunData:
        data = self._data
        # In the order of the benchmark: that of the log depends on what was repeated after a
        # crash, and intervals must not.
        data.asked = [item for item in data.items if item in self._asked]
        data.unknown = self._asked.keys() - data.items.keys()
        data.doubled |= {item for item, count in self._asked.items() if count > 1}
        data.doubled |= {
            item
            for (item, _), ticks in data.ticks.items()
            if len(set(ticks.ticks_ns)) < len(ticks.ticks_ns)
        }
        self._keep_what_failed()
        return data

    def _add_call(self, record: Call) -> None:
        data = self._data
        by_session = data.ttft_ns.setdefault(record.system, {})
        by_session.setdefault(record.session, []).append(record.ttft_ns)
        if record.purpose not in ("answer", "repair"):
            return
        totals = data.calls.setdefault((record.query, record.system), CallTotals())
        totals.input_tokens += record.input_tokens
        totals.output_tokens += record.output_tokens
        if record.purpose == "answer":
            totals.candidate_logprobs = tuple(record.candidate_logprobs or ())
        if record.frames is not None and record.frames[0] in self._pts_ns:
            seen = self._pts_ns[record.frames[0]]
            oldest = totals.visible_from_ns
            totals.visible_from_ns = seen if oldest is None else min(oldest, seen)

    def _add_route(self, record: Route) -> None:
        key = record.query, record.router
        routing = self._data.routes.setdefault(key, Routing(record.stage))
        routing.actions += record.actions
        routing.service_ns += record.service_ns

    def _keep_what_failed(self) -> None:
        """Drop failures that a further try mended, and those of queries that are no items.

        An answer mends every failure of its system; so do ticks of which none is unknown, because
        one that fails for good is.
        """
        data = self._data
        mended = set(data.answers)
        mended |= {key for key, ticks in data.ticks.items() if "unknown" not in ticks.states}
        place = {item: number for number, item in enumerate([*data.asked, *sorted(data.unknown)])}
        left = [key for key in data.failures if key[0] in place and key not in mended]
        left.sort(key=lambda key: place[key[0]])
        data.failures = {key: data.failures[key] for key in left}
