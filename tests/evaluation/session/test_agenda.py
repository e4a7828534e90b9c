"""The agenda of a session against a slow reference, and when a session is over."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb.errors import SourceError
from dsb.evaluation.plan import PlannedInstruction, PlannedQuery, SessionPlan
from dsb.evaluation.session.agenda import (
    Agenda,
    Ask,
    End,
    Moment,
    Show,
    Tick,
    Write,
    last_moment_ns,
)
from dsb.systems.question import Question

NS = 1_000_000_000
tenths = st.integers(0, 80).map(lambda tenth: tenth * NS // 10)


def asked(name: str, t_ns: int) -> PlannedQuery:
    return PlannedQuery(Question(name, t_ns, "?"))


def watched(name: str, t_ns: int, stop_ns: int | None) -> PlannedInstruction:
    return PlannedInstruction(Question(name, t_ns, "!"), stop_ns)


def plan_of(
    queries: list[PlannedQuery], instructions: list[PlannedInstruction], live: bool = False
) -> SessionPlan:
    return SessionPlan("v", Path("v.mp4"), live, tuple(queries), tuple(instructions), 0.0)


def slow(agenda: Agenda) -> list[Moment]:
    """Every moment by its definition, sorted: frames, ticks, questions, notes, the end."""
    found: list[tuple[int, int, Moment]] = []
    frame = 0
    while (t_ns := -int(-frame * NS // agenda.fps)) <= agenda.end_ns:
        found.append((t_ns, 0, Show(t_ns)))
        frame += 1
    ticks: dict[int, list[tuple[PlannedInstruction, bool]]] = {}
    for instruction in agenda.plan.instructions:
        stop_ns = agenda.end_ns + 1 if instruction.stop_ns is None else instruction.stop_ns
        number = 0
        while True:
            t_ns = instruction.question.t_ns - int(-number * agenda.tick_s * NS // 1)
            if t_ns >= stop_ns or t_ns > agenda.end_ns:
                break
            ticks.setdefault(t_ns, []).append((instruction, number == 0))
            number += 1
    for t_ns, due in ticks.items():
        instructions = tuple(instruction for instruction, _ in due)
        found.append((t_ns, 1, Tick(t_ns, instructions, tuple(w for w, first in due if first))))
    for t_ns in {query.question.t_ns for query in agenda.plan.queries}:
        together = tuple(q for q in agenda.plan.queries if q.question.t_ns == t_ns)
        found.append((t_ns, 2, Ask(t_ns, together)))
    if agenda.write_every_s is not None:
        every_ns = int(agenda.write_every_s * NS)
        found += [(t, 3, Write(t)) for t in range(every_ns, agenda.end_ns + 1, every_ns)]
    found.append((agenda.end_ns, 4, End(agenda.end_ns)))
    return [moment for _, _, moment in sorted(found, key=lambda each: each[:2])]


@given(
    st.lists(tenths, max_size=6),
    st.lists(st.tuples(tenths, st.none() | tenths), max_size=4),
    st.sampled_from([Fraction(1), Fraction(2), Fraction(10, 3)]),
    st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(7, 10)]),
    st.sampled_from([None, 1.0, 2.5]),
)
def test_the_agenda_is_every_moment_in_its_order(
    questions: list[int],
    instructions: list[tuple[int, int | None]],
    fps: Fraction,
    tick_s: Fraction,
    write_every_s: float | None,
) -> None:
    queries = [asked(f"q{n}", t_ns) for n, t_ns in enumerate(sorted(questions))]
    instructions = [watched(f"w{n}", *each) for n, each in enumerate(sorted(instructions, key=str))]
    agenda = Agenda(plan_of(queries, instructions), 8 * NS, fps, tick_s, write_every_s)
    assert [each for each in agenda if not isinstance(each, Show)] == [
        each for each in slow(agenda) if not isinstance(each, Show)
    ]
    # Frames may come in batches, which end at the last frame on screen before whatever is next.
    shown = [each.t_ns for each in slow(agenda) if isinstance(each, Show)]
    batches = [each.t_ns for each in agenda if isinstance(each, Show)]
    assert set(batches) <= set(shown)
    assert batches[-1] == shown[-1]
    newest = -1
    for moment in agenda:
        if isinstance(moment, Show):
            newest = moment.t_ns
        else:
            assert newest == max((t for t in shown if t <= moment.t_ns), default=-1)


def test_questions_are_asked_before_what_s1_sees_is_written_down() -> None:
    agenda = Agenda(plan_of([asked("q", 2 * NS)], []), 2 * NS, Fraction(1), Fraction(1), 1.0)
    at_two = [type(each) for each in agenda if each.t_ns == 2 * NS]
    assert at_two == [Show, Ask, Write, End]


def unasked(video: Path) -> float:
    raise AssertionError(f"nobody needs the length of {video}")


def test_a_session_ends_with_its_last_question_or_tick() -> None:
    plan = plan_of([asked("q", 12 * NS)], [watched("w", 0, 20 * NS + 1)])
    assert last_moment_ns(plan, unasked) == 20 * NS


def test_an_instruction_without_an_end_is_polled_to_the_end_of_the_video() -> None:
    plan = plan_of([asked("q", 12 * NS)], [watched("w", 0, None)])
    assert last_moment_ns(plan, lambda _: 33.5) == 33_500_000_000
    assert last_moment_ns(plan, lambda _: 3.5) == 12 * NS


@pytest.mark.parametrize(
    ("live", "message"), [(True, "a live stream ends"), (False, r"v\.mp4 does not say")]
)
def test_where_nobody_knows_the_end_the_remedy_is_named(live: bool, message: str) -> None:
    plan = plan_of([], [watched("w", 0, None)], live)
    with pytest.raises(SourceError, match=message + r".*set `meta\.end_s`"):
        last_moment_ns(plan, lambda _: None)
