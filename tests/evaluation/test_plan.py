"""Items become sessions: one per video, everything in stream order, nothing of the truth inside."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from dsb.benchmarks.item import Answer, Chain, Exchange, Item
from dsb.benchmarks.protocol import Protocol
from dsb.config.schema import RunConfig
from dsb.evaluation.plan import make_plan, question_of

PLAIN = Protocol("default")
CONFIG = RunConfig()
OFFLINE = RunConfig.model_validate({"stream": {"mode": "offline"}})


def item(name: str, ask_time_s: float = 10.0, video: str = "v.mp4", **more: Any) -> Item:
    return Item(
        id=name,
        task=more.pop("task", "realtime"),
        source="test",
        category="test",
        video=video,
        ask_time_s=ask_time_s,
        question=f"{name}?",
        answer=more.pop("answer", Answer(text="secret")),
        **more,
    )


def turn(name: str, index: int, ask_time_s: float, history: Any = "model", **more: Any) -> Item:
    chain = Chain(id="c", index=index, history=history, reference=more.pop("reference", ()))
    return item(name, ask_time_s, task="sequential", chain=chain, **more)


def instruction(name: str, ask_time_s: float, end_s: float | None, **more: Any) -> Item:
    meta = {} if end_s is None else {"end_s": end_s}
    return item(
        name, ask_time_s, task="proactive", answer=None, triggers_s=(77.0,), meta=meta, **more
    )


def test_one_session_per_video_holds_its_items_in_stream_order() -> None:
    items = [item("b", 20.0), item("x", 5.0, "w.mp4"), item("a", 10.0), item("c", 30.0)]
    random.Random(0).shuffle(items)
    sessions = {session.id: session for session in make_plan(CONFIG, items, PLAIN).sessions}
    assert sessions["v.mp4"].items == ("a", "b", "c")
    assert sessions["w.mp4"].items == ("x",)


def test_a_plan_does_not_depend_on_the_order_of_the_items() -> None:
    items = [item(f"q{i}", float(i % 3), f"v{i % 4}.mp4") for i in range(20)]
    assert make_plan(CONFIG, items, PLAIN) == make_plan(CONFIG, items[::-1], PLAIN)


def test_the_longest_session_comes_first() -> None:
    items = [item("short", 5.0, "short.mp4"), item("long", 500.0, "long.mp4")]
    items += [item(f"many{i}", 5.0, "many.mp4") for i in range(100)]
    order = [session.id for session in make_plan(CONFIG, items, PLAIN).sessions]
    assert order == ["long.mp4", "many.mp4", "short.mp4"]


def test_polling_counts_as_work() -> None:
    items = [item("q", 90.0, "asked.mp4"), instruction("w", 0.0, 80.0, video="polled.mp4")]
    assert make_plan(CONFIG, items, PLAIN).sessions[0].id == "polled.mp4"


def test_offline_every_item_has_a_session_and_a_dialogue_stays_whole() -> None:
    items = [item("a"), item("b"), turn("t0", 0, 3.0), turn("t1", 1, 6.0)]
    sessions = make_plan(OFFLINE, items, PLAIN).sessions
    assert sorted(session.items for session in sessions) == [("a",), ("b",), ("t0", "t1")]
    assert len({session.id for session in sessions}) == 3


def test_a_session_ends_with_its_last_question_or_poll() -> None:
    (session,) = make_plan(CONFIG, [item("a", 12.5), instruction("w", 1.0, 20.0)], PLAIN).sessions
    assert session.end_ns == 20_000_000_000
    (session,) = make_plan(CONFIG, [item("a", 42.5), instruction("w", 1.0, 20.0)], PLAIN).sessions
    assert session.end_ns == 42_500_000_000
    (session,) = make_plan(CONFIG, [item("a"), instruction("w", 1.0, None)], PLAIN).sessions
    assert session.end_ns is None


def test_the_last_poll_is_at_the_end_and_not_before_it() -> None:
    (session,) = make_plan(CONFIG, [instruction("w", 8.0, 59.0)], PLAIN).sessions
    assert session.instructions[0].stop_ns == 59_000_000_001


def test_a_later_turn_builds_on_the_own_answers_to_the_earlier_ones() -> None:
    (session,) = make_plan(
        CONFIG, [turn("t2", 2, 9.0), turn("t0", 0, 3.0), turn("t1", 1, 6.0)], PLAIN
    ).sessions
    assert [query.earlier for query in session.queries] == [(), ("t0",), ("t0", "t1")]
    assert [query.exchanges_before for query in session.queries] == [0, 1, 2]


def test_turns_asked_at_the_same_moment_keep_their_order() -> None:
    (session,) = make_plan(CONFIG, [turn("b", 0, 3.0), turn("a", 1, 3.0)], PLAIN).sessions
    assert session.items == ("b", "a")


def test_a_reference_history_is_shown_as_the_benchmark_gives_it() -> None:
    told = (Exchange(question="Which shape?", answer="star"),)
    (session,) = make_plan(
        CONFIG, [turn("t1", 1, 6.0, "reference", reference=told)], PLAIN
    ).sessions
    (query,) = session.queries
    assert [(m.role, m.text) for m in query.question.history] == [
        ("user", "Which shape?"),
        ("assistant", "star"),
    ]
    assert query.earlier == ()
    assert query.exchanges_before == 1


def test_items_that_nothing_can_answer_are_counted_and_named() -> None:
    plan = make_plan(CONFIG, [item("a"), item("deaf", needs=("audio",))], PLAIN)
    assert plan.queries == 1
    assert [(each.id, each.reason) for each in plan.skipped] == [("deaf", "needs audio")]


def test_no_answer_is_in_a_plan() -> None:
    items = [
        item("a", options=("secret", "other"), answer=Answer(option=0, text="secret")),
        item("b", meta={"space": ["secret", "other"], "chance": 0.123}),
        instruction("w", 1.0, 20.0),
        turn("t0", 0, 3.0),
        turn("t1", 1, 6.0),
    ]
    plan = make_plan(CONFIG, items, PLAIN)
    allowed = {"options", "space"}
    assert "secret" not in repr(strip(dataclasses.asdict(plan), allowed))
    assert "77" not in repr(plan.sessions[0].instructions)


def strip(value: Any, keys: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: strip(inner, keys) for key, inner in value.items() if key not in keys}
    if isinstance(value, list | tuple):
        return [strip(inner, keys) for inner in value]
    return value


def test_times_are_exact_nanoseconds() -> None:
    assert question_of(item("a", 84.1), PLAIN).t_ns == 84_100_000_000
