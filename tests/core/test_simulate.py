"""The simulation against a slow reference that goes through time with lists and knows every rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsb import _core
from paths import ROOT

NO_DEADLINE = 2**63 - 1
S1, S2, ESCALATE = 0, 1, 2
ANSWERED, LATE, CANCELLED, DROPPED = 0, 1, 2, 3


@dataclass
class Query:
    """One query of a trace, and what has become of it so far."""

    position: int
    arrival: int
    s1_service: int
    s2_service: int
    deadline: int
    priority: int
    stream: int
    route: int
    place: str = "outside"
    joined: int = 0
    left: Fraction = Fraction(0)
    superseded: bool = False
    start: int = -1
    finish: int = 0
    waited: int = 0
    status: int = DROPPED
    answered_by: int = 0


@dataclass
class Reference:
    """Every instant looks at every query. Work is a fraction, so that nothing is rounded but the end of a service."""

    queries: list[Query]
    slots: int
    discipline: str
    at_deadline: str
    on_newer: str
    sharing: tuple[list[int], list[int], list[int]] | None
    now: int = 0
    busy: dict[str, int] = field(default_factory=lambda: {"s1": 0, "s2": 0})
    queued: dict[str, int] = field(default_factory=lambda: {"s1": 0, "s2": 0})
    services: dict[str, int] = field(default_factory=lambda: {"s1": 0, "s2": 0})

    def at(self, place: str) -> list[Query]:
        return [query for query in self.queries if query.place == place]

    def run(self) -> Reference:
        waiting_to_arrive = list(self.queries)
        while (moment := self.next_moment(waiting_to_arrive)) is not None:
            self.work_until(moment)
            self.end_services()
            self.end_overdue()
            while waiting_to_arrive and waiting_to_arrive[0].arrival == self.now:
                self.arrive(waiting_to_arrive.pop(0))
            self.start("s1", 1)
            self.start("s2", self.slots)
        assert not [query for query in self.queries if query.place != "gone"]
        return self

    def speed(self, system: str) -> Fraction:
        s1_busy, s2_busy = len(self.at("in s1")), len(self.at("in s2"))
        if self.sharing is None:
            return Fraction(1)
        s1, s2, s2_beside_s1 = self.sharing
        if system == "s1":
            return Fraction(s1[s2_busy], 10**6)
        return Fraction((s2_beside_s1 if s1_busy else s2)[s2_busy - 1], 10**6)

    def next_moment(self, waiting_to_arrive: list[Query]) -> int | None:
        moments = [query.arrival for query in waiting_to_arrive]
        for system in ("s1", "s2"):
            for query in self.at(f"in {system}"):
                moments.append(self.now + ceil(query.left / self.speed(system)))
                if self.at_deadline == "running":
                    moments.append(query.deadline)
        if self.at_deadline != "never":
            moments += [query.deadline for query in self.at("for s1") + self.at("for s2")]
        return min(moments, default=None)

    def work_until(self, moment: int) -> None:
        duration = moment - self.now
        work = {
            system: self.speed(system) * duration
            for system in ("s1", "s2")
            if self.at(f"in {system}")
        }
        for system, done in work.items():
            for query in self.at(f"in {system}"):
                query.left -= done
                self.busy[system] += duration
        self.now = moment

    def end_services(self) -> None:
        for query in self.at("in s1"):
            if query.left <= 0:
                self.end_s1(query)
        for query in self.at("in s2"):
            if query.left <= 0:
                self.answer(query, 2)

    def end_s1(self, query: Query) -> None:
        self.answer(query, 1)
        overdue = self.at_deadline != "never" and self.now >= query.deadline
        if query.route == ESCALATE and not query.superseded and not overdue:
            query.place, query.joined = "for s2", self.now

    def end_overdue(self) -> None:
        for query in self.queries:
            waits, runs = query.place.startswith("for"), query.place.startswith("in")
            if query.deadline <= self.now and (
                (waits and self.at_deadline != "never") or (runs and self.at_deadline == "running")
            ):
                self.give_up(query, DROPPED)

    def arrive(self, query: Query) -> None:
        if self.on_newer != "never":
            for older in self.queries:
                if older.stream == query.stream and older.arrival < query.arrival:
                    older.superseded = True
                    waits, runs = older.place.startswith("for"), older.place.startswith("in")
                    if waits or (runs and self.on_newer == "running"):
                        self.give_up(older, CANCELLED)
        query.place, query.joined = ("for s2" if query.route == S2 else "for s1"), self.now

    def start(self, system: str, slots: int) -> None:
        # Nothing starts at its deadline, also if it has only just arrived.
        if self.at_deadline != "never":
            for query in self.at(f"for {system}"):
                if query.deadline <= self.now:
                    self.give_up(query, DROPPED)
        while len(self.at(f"in {system}")) < slots and self.at(f"for {system}"):
            query = min(self.at(f"for {system}"), key=self.rank if system == "s2" else self.first)
            self.stop_waiting(query)
            query.place = f"in {system}"
            query.start = self.now if query.start < 0 else query.start
            query.left = Fraction(query.s1_service if system == "s1" else query.s2_service)
            self.services[system] += 1
            if query.left == 0 and system == "s1":
                self.end_s1(query)
            elif query.left == 0:
                self.answer(query, 2)

    def first(self, query: Query) -> tuple[int, int]:
        return query.joined, query.position

    def rank(self, query: Query) -> tuple[int, int, int]:
        keys = {"fifo": 0, "edf": query.deadline, "priority": -query.priority}
        return keys[self.discipline], query.joined, query.position

    def stop_waiting(self, query: Query) -> None:
        query.waited += self.now - query.joined
        self.queued[query.place.removeprefix("for ")] += self.now - query.joined

    def answer(self, query: Query, by: int) -> None:
        query.place, query.finish, query.answered_by = "gone", self.now, by
        query.status = ANSWERED if self.now <= query.deadline else LATE

    def give_up(self, query: Query, status: int) -> None:
        if query.place.startswith("for"):
            self.stop_waiting(query)
        if query.answered_by:
            self.answer(query, query.answered_by)
        else:
            query.place, query.finish, query.status = "gone", self.now, status


queries = st.lists(
    st.fixed_dictionaries(
        {
            "gap": st.sampled_from([0, 0, 1, 2, 3, 7, 20]),
            "s1_service": st.integers(0, 6),
            "s2_service": st.integers(0, 25),
            "slack": st.one_of(st.none(), st.integers(0, 40)),
            "priority": st.integers(-2, 2),
            "stream": st.integers(5, 7),
            "route": st.sampled_from([S1, S2, ESCALATE]),
        }
    ),
    max_size=25,
)
rules = st.fixed_dictionaries(
    {
        "slots": st.integers(1, 3),
        "discipline": st.sampled_from(["fifo", "edf", "priority"]),
        "at_deadline": st.sampled_from(["never", "waiting", "running"]),
        "on_newer": st.sampled_from(["never", "waiting", "running"]),
    }
)
speeds = st.sampled_from([1_000_000, 999_999, 750_000, 333_333, 125_001, 2_000_000])


def trace_of(rows: list[dict[str, Any]]) -> list[Query]:
    made: list[Query] = []
    now = 0
    for position, row in enumerate(rows):
        values = dict(row)
        now += values.pop("gap")
        slack = values.pop("slack")
        deadline = NO_DEADLINE if slack is None else now + slack
        made.append(Query(position, arrival=now, deadline=deadline, **values))
    return made


def columns(trace: list[Query]) -> dict[str, np.ndarray]:
    names = {
        "arrival_ns": "arrival",
        "s1_service_ns": "s1_service",
        "s2_service_ns": "s2_service",
        "deadline_ns": "deadline",
        "priority": "priority",
        "stream": "stream",
    }
    return {
        name: np.array([getattr(query, of) for query in trace], np.int64)
        for name, of in names.items()
    }


@settings(max_examples=400)
@given(queries, rules, st.data())
def test_it_agrees_exactly_with_the_slow_reference(
    rows: list[dict[str, Any]], rule: dict[str, Any], data: st.DataObject
) -> None:
    trace = trace_of(rows)
    sharing = None
    if data.draw(st.booleans(), label="shared"):
        table = [data.draw(st.lists(speeds, min_size=4, max_size=4)) for _ in range(3)]
        slots = rule["slots"]
        sharing = (table[0][: slots + 1], table[1][:slots], table[2][:slots])
    simulator = _core.Simulator(**columns(trace), **rule, sharing=sharing)
    route = np.array([query.route for query in trace], np.uint8)
    found = simulator.run(route)
    slow = Reference(trace, **rule, sharing=sharing).run()
    for name in ("start", "finish", "waited", "status", "answered_by"):
        column = getattr(found, name if name in ("status", "answered_by") else f"{name}_ns")
        assert list(column) == [getattr(query, name) for query in trace], name
    for mine, theirs in (
        (found.busy_ns, slow.busy),
        (found.queued_ns, slow.queued),
        (found.services, slow.services),
    ):
        assert mine == (theirs["s1"], theirs["s2"])
    ended = [found.answered, found.late, found.cancelled, found.dropped]
    assert ended == [[query.status for query in trace].count(status) for status in range(4)]


def test_the_example_of_the_documentation_prints_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = ROOT.joinpath("docs", "simulation.md").read_text()
    example = page.split("```python\n")[1].split("```")[0]
    exec(compile(example, "simulation.md", "exec"), {})
    said = [line.split("  # ")[1] for line in example.splitlines() if line.startswith("print")]
    assert capsys.readouterr().out.splitlines() == said


def test_columns_are_arrays_of_their_type() -> None:
    found = _core.Simulator(
        arrival_ns=[0, 5], s1_service_ns=(10, 10), s2_service_ns=np.array([1, 1], np.int32)
    ).run(bytes([S1, S1]))
    assert np.asarray(found.finish_ns).dtype == np.int64
    assert np.asarray(found.status).dtype == np.uint8
    assert (list(found.start_ns), list(found.waited_ns), len(found)) == ([0, 10], [0, 5], 2)
    assert found.utilisation == (1.0, 0.0)
    assert found.mean_queue == (0.25, 0.0)
    assert repr(found) == "Simulation(2 answered, 0 late, 0 cancelled, 0 dropped)"


def test_a_column_with_gaps_between_its_numbers_is_read_right() -> None:
    table = np.arange(8, dtype=np.int64).reshape(4, 2)
    zeros = np.zeros(4, np.int64)
    simulator = _core.Simulator(
        arrival_ns=table[:, 0], s1_service_ns=table[:, 1], s2_service_ns=zeros
    )
    assert list(simulator.run([S1] * 4).finish_ns) == [1, 5, 10, 17]


def test_one_trace_serves_many_routers() -> None:
    simulator = _core.Simulator(arrival_ns=[0], s1_service_ns=[1], s2_service_ns=[2])
    assert [simulator.run([route]).finish_ns[0] for route in (S1, S2, ESCALATE)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrival_ns": [5, 4]}, r"arrival_ns\[1\]"),
        ({"s1_service_ns": [1]}, "s1_service_ns has 1"),
        ({"s2_service_ns": [-1, 0]}, r"s2_service_ns\[0\]"),
        ({"deadline_ns": [0, 0]}, r"deadline_ns\[1\]"),
        ({"slots": 0}, "slots"),
        ({"slots": -1}, "at least 0"),
        ({"discipline": "lifo"}, "discipline must be one of 'fifo', 'edf'"),
        ({"at_deadline": "drop"}, "at_deadline must be one of"),
        ({"on_newer": "waiting"}, "stream is missing"),
        ({"discipline": "priority"}, "priority is missing"),
        ({"sharing": ([1, 1], [0], [1])}, r"sharing.s2\[0\]"),
    ],
)
def test_bad_input_names_its_field(change: dict[str, Any], message: str) -> None:
    good = {"arrival_ns": [0, 1], "s1_service_ns": [1, 1], "s2_service_ns": [1, 1]}
    with pytest.raises(ValueError, match=message):
        _core.Simulator(**{**good, **change})


@pytest.mark.parametrize("column", [[0.5], [2**63], np.zeros(1), "0", None])
def test_a_column_of_another_type_is_a_type_error_that_names_it(column: Any) -> None:
    with pytest.raises(TypeError, match="arrival_ns"):
        _core.Simulator(arrival_ns=column, s1_service_ns=[1], s2_service_ns=[1])


def test_an_unknown_route_names_its_query() -> None:
    simulator = _core.Simulator(arrival_ns=[0], s1_service_ns=[1], s2_service_ns=[1])
    with pytest.raises(ValueError, match=r"route\[0\] is 3"):
        simulator.run([3])
