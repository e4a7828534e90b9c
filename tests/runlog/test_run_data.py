"""The one reading of a log: what was answered, what failed, what is there twice."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsb.runlog.completeness import Completeness, check_run
from dsb.runlog.log import segments
from dsb.runlog.run import open_run
from dsb.runlog.run_data import RunData, tabulate
from run_logs import NS, Log, instruction, question, write_run


def test_an_answer_mends_the_failures_before_it() -> None:
    log = Log([question(0), question(1)])
    log.fail("q0", "s1")
    log.answer("q0", "s1", "red")
    log.fail("q0", "s2")
    log.answer("q1", "s1", "red")
    assert list(log.data.failures) == [("q0", "s2")]


def test_ticks_mend_the_failures_before_them_unless_one_is_unknown() -> None:
    log = Log([instruction((10.0,))])
    for system in ("s1", "s2", "blind"):
        log.fail("p0", system)
    log.turns("s1", [0.1, 0.9])
    log.turns("s2", [0.1, None])
    assert list(log.data.failures) == [("p0", "s2"), ("p0", "blind")]


def test_a_failed_note_for_memory_is_no_failed_item() -> None:
    log = Log([question(0)])
    log.fail("observation:10", "s1")
    assert log.data.failures == {}


def test_the_last_error_of_an_item_is_kept() -> None:
    log = Log([question(0)])
    log.fail("q0", "s1", "RateLimited")
    log.fail("q0", "s1", "Refused")
    assert log.data.failures["q0", "s1"].type == "Refused"


@pytest.mark.parametrize("wrong", ["answer", "tick", "item"])
def test_what_is_there_twice_is_named(wrong: str) -> None:
    items = [question(0), question(1), instruction((10.0,))]
    log, other = Log(items[:1], "a"), Log(items[1:], "b")
    log.answer("q0", "s1", "red")
    log.answer("q0", "s2", "red")
    other.answer("q1", "s1", "red")
    other.turns("s1", [0.1, 0.9])
    other.turns("s2", [0.1, 0.9])
    other.turns("s1", [0.1, 0.9], first_s=10)
    sound = tabulate(items, [*log.records, *other.records])
    assert sound.doubled == set()
    if wrong == "answer":
        other.answer("q1", "s1", "blue")
    elif wrong == "tick":
        other.turns("s2", [0.3], first_s=9)
    else:
        other.records += Log(items[:1], "c").records
    found = tabulate(items, [*log.records, *other.records])
    assert found.doubled == {{"answer": "q1", "tick": "p0", "item": "q0"}[wrong]}


def test_an_item_that_the_run_does_not_know_is_kept_apart() -> None:
    log = Log([question(0), question(1)])
    log.fail("q1", "s1")
    found = tabulate([question(0)], log.records)
    assert (found.asked, found.unknown) == (["q0"], {"q1"})
    assert list(found.failures) == [("q1", "s1")]


def test_items_come_in_the_order_of_the_benchmark_and_failures_too() -> None:
    items = [question(n) for n in range(4)]
    log = Log(items[2::-1])
    for query in ("q2", "q0", "q1"):
        log.fail(query, "s2")
        log.fail(query, "s1")
    found = tabulate(items, log.records)
    assert found.asked == ["q0", "q1", "q2"]
    assert list(found.failures) == [(f"q{n}", name) for n in range(3) for name in ("s2", "s1")]


def test_all_calls_count_for_the_first_token_and_those_of_an_answer_for_its_cost() -> None:
    items = [question(0), question(1)]
    log, other = Log(items[:1], "a"), Log(items[1:], "b")
    log.call("observation:10", "s1", (0, 1), tokens=7, purpose="observe", ttft_ns=1)
    log.call("p0", "s1", (0, 1), tokens=7, purpose="tick", ttft_ns=2)
    log.call("q0", "s1", None, tokens=100, ttft_ns=3, candidate_logprobs=[-0.5, -1.0])
    log.call("q0", "s1", None, tokens=20, purpose="repair", ttft_ns=4)
    other.call("q1", "s2", None, tokens=1, ttft_ns=5)
    found = tabulate(items, [*log.records, *other.records])
    assert found.ttft_ns == {"s1": {"a": [1, 2, 3, 4]}, "s2": {"b": [5]}}
    assert found.calls.keys() == {("q0", "s1"), ("q1", "s2")}
    assert (found.calls["q0", "s1"].input_tokens, found.calls["q0", "s1"].output_tokens) == (120, 2)
    assert found.calls["q0", "s1"].candidate_logprobs == (-0.5, -1.0)
    assert found.calls["q1", "s2"].candidate_logprobs == ()


def test_what_a_call_saw_is_dated_by_the_frames_of_its_own_session() -> None:
    items = [question(0), question(1)]
    log, other = Log(items[:1], "a"), Log(items[1:], "b")
    log.frames([0.0, 1.0, 2.0])
    log.frames([3.0, 4.0], start=3)
    log.call("q0", "s1", (3, 4))
    log.call("q0", "s1", (2, 4), purpose="repair")
    other.frames([0.5])
    other.call("q1", "s1", (0, 0))
    other.call("q1", "s2", (3, 4))
    found = tabulate(items, [*log.records, *other.records])
    seen = {key: totals.visible_from_ns for key, totals in found.calls.items()}
    assert seen == {("q0", "s1"): 2 * NS, ("q1", "s1"): NS // 2, ("q1", "s2"): None}


# -- the order of the log -----------------------------------------------------------------------

ITEMS = [*(question(n) for n in range(4)), instruction((10.0,)), instruction((9.0,), number=1)]


def played(session: str, first: int, watch: str, number: int, *, failing: bool) -> Log:
    """Two questions and an instruction, the later question first in the log."""
    asked = [f"q{first + 1}", f"q{first}"]
    log = Log([item for item in ITEMS if item.id in (*asked, watch)], session, number)
    log.frames([0.0, 1.0])
    for name in ("s1", "s2"):
        for query in asked:
            log.fail(query, name)
            log.call(query, name, (0, 1), ttft_ns=number)
            if not failing:
                log.answer(query, name, f"{session} {number}")
            log.route(query, ["s2"])
        log.fail(watch, name)
        log.turns(name, [0.1 * number, None if failing else 0.9], query=watch)
    return log


def ended(log: Log, **end: int) -> Log:
    log.end(**end)
    return log


#: Of one session the second attempt counts, of the other one the second too, because the third
#: has no end.
ATTEMPTS = [
    ended(played("a", 0, "p0", 1, failing=True), queries_failed=3),
    ended(played("a", 0, "p0", 2, failing=False)),
    played("b", 2, "p1", 1, failing=False),
    ended(played("b", 2, "p1", 2, failing=True), queries_failed=3),
    played("b", 2, "p1", 3, failing=False),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every attempt in a segment of its own."""
    return write_run(tmp_path_factory.mktemp("results") / "run", ITEMS, *ATTEMPTS)


def read(run_dir: Path) -> tuple[RunData, Completeness]:
    run = open_run(run_dir)
    return run.data, dataclasses.replace(check_run(run), run_dir=Path("run"))


@given(
    st.permutations(range(len(ATTEMPTS))),
    st.lists(st.sampled_from("xyz"), min_size=len(ATTEMPTS), max_size=len(ATTEMPTS)),
)
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_segments_changes_nothing(
    written: Path, order: list[int], workers: list[str]
) -> None:
    expected, expected_check = read(written)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        shutil.copytree(written, run_dir, ignore=shutil.ignore_patterns("*.jsonl"))
        for number, (place, worker) in enumerate(zip(order, workers, strict=True)):
            shutil.copy(segments(written)[place], run_dir / "log" / f"{worker}-{number}.jsonl")
        data, checked = read(run_dir)
    assert data == expected
    assert list(data.failures) == list(expected.failures)
    assert data.routers == expected.routers
    assert checked == expected_check


def test_only_what_failed_in_the_attempt_that_counts_is_reported(written: Path) -> None:
    data, checked = read(written)
    assert data.asked == ["q0", "q1", "q2", "q3", "p0", "p1"]
    assert data.answers["q0", "s1"].text == "a 2"
    assert data.failures.keys() == {(f, name) for f in ("q2", "q3", "p1") for name in ("s1", "s2")}
    assert [each.query for each in checked.failed] == ["q2", "q2", "q3", "q3", "p1", "p1"]
    assert (checked.queries_done, checked.repeated, checked.missing) == (3, 3, ())
