"""From a run log to numbers: arms, grades, intervals, tradeoffs; against slow references."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb.analysis import statistics
from dsb.analysis.arm import S1, S2, Arm
from dsb.analysis.arms import arms, outcome
from dsb.analysis.grade import Graded, Grader, Row
from dsb.analysis.summary.tables import evidence_of, score_table, tradeoff_of
from dsb.analysis.summary.tradeoff import Paired, by_lookback, cascade, oracle
from dsb.benchmarks.build import find_protocol
from dsb.benchmarks.item import Item
from dsb.runlog.run_data import RunData
from run_logs import NS, Log, instruction, question

GRADER = Grader(*find_protocol("items", "default"), threshold=0.5, rearm_ticks=2)


def graded(data: RunData, item: Item, arm: str) -> Graded:
    return GRADER.grade(outcome(data, item, Arm.of(arm)))


def row_of(data: RunData, item: Item, arm: str) -> Row:
    return graded(data, item, arm).row


def test_a_router_is_graded_by_the_answer_of_the_system_that_it_chose() -> None:
    log = Log([question(0), question(1)])
    for item in log.items:
        log.answer(item.id, "s1", "blue")
        log.answer(item.id, "s2", "red")
    log.route("q0", ["s1"])
    log.route("q1", ["s2"])
    data = log.data
    assert [str(arm) for arm in arms(data)] == ["s1", "s2", "router:r"]
    assert [row_of(data, item, "router:r").score for item in log.items] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("stage", "action", "expected_ms"),
    [
        ("after_s1", "s2", 2 + 5 + 1),
        ("after_s1", "s1", 2 + 1),
        ("before_s1", "s2", 5 + 1),
        ("before_s1", "s1", 2 + 1),
    ],
)
def test_a_router_pays_for_everything_that_it_made_run(
    stage: str, action: str, expected_ms: int
) -> None:
    log = Log([question(0)])
    log.answer("q0", "s1", "red", ms=2)
    log.answer("q0", "s2", "red", ms=5)
    log.route("q0", [action], stage)
    assert outcome(log.data, log.items[0], Arm.of("router:r")).service_ns == (
        expected_ms * 1_000_000,
    )


def test_a_failed_item_is_absent_from_scores_and_wrong_in_scores_all() -> None:
    log = Log([question(0), question(1)])
    log.answer("q0", "s1", "red")
    log.answer("q0", "s2", "red")
    log.answer("q1", "s2", "red")
    log.fail("q1", "s1")
    rows = [row_of(log.data, item, "s1") for item in log.items]
    answered = score_table(rows, [S1], GRADER.protocol, 0, with_failed=False)["clue"]["s1"]
    everything = score_table(rows, [S1], GRADER.protocol, 0, with_failed=True)["clue"]["s1"]
    assert (answered.n, answered.value) == (1, 1.0)
    assert (everything.n, everything.value) == (2, 0.5)


def test_a_system_that_was_not_asked_everything_is_no_arm() -> None:
    log = Log([question(0), question(1)])
    log.answer("q0", "s1", "red")
    log.answer("q1", "s1", "red")
    log.answer("q1", "s2", "red")
    assert [str(arm) for arm in arms(log.data)] == ["s1"]


def test_ticks_become_alerts_and_alerts_are_scored_against_triggers() -> None:
    item = instruction((10.0,))
    log = Log([item])
    log.turns("s1", [0.1, 0.2, 0.9, 0.9, 0.1, 0.1, 0.8, 0.1])
    row = row_of(log.data, item, "s1")
    assert row.emissions_s == [10.0, 14.0]
    assert (row.numerator, row.denominator) == (2.0, 3.0)


def test_an_instruction_that_never_fires_and_a_system_that_stays_silent_agree() -> None:
    item = instruction(())
    log = Log([item])
    log.turns("s1", [0.1] * 5)
    row = row_of(log.data, item, "s1")
    assert (row.score, row.denominator) == (1.0, 0.0)


def test_an_unknown_tick_neither_speaks_nor_is_quiet() -> None:
    item = instruction((8.0,))
    log = Log([item])
    log.turns("s1", [0.9, 0.1, None, 0.9])
    assert row_of(log.data, item, "s1").emissions_s == [8.0]


def test_an_instruction_whose_every_tick_failed_was_not_answered_by_silence() -> None:
    item = instruction(())
    log = Log([item])
    log.turns("s1", [None, None])
    row = row_of(log.data, item, "s1")
    assert (row.failed, row.score) == (True, 0.0)


def test_an_instruction_without_an_end_is_quiet_until_its_last_tick() -> None:
    item = instruction((10.0,)).model_copy(update={"meta": {}})
    log = Log([item])
    log.turns("s1", [0.9] + [0.1] * 12)
    counts = graded(log.data, item, "s1").grade.events["f1_1s"]
    # From 8 s to 20 s without the two seconds around the trigger.
    assert (counts.quiet_s, counts.false_alarms) == (10.0, 1)


def test_a_system_that_had_some_of_the_ticks_is_no_arm() -> None:
    log = Log([instruction((9.0,))])
    log.turns("s1", [0.1, 0.9, 0.1])
    log.turns("s2", [0.9])
    log.route("p0", ["s2", "s1", "s1"], ticks_ns=[8 * NS, 9 * NS, 10 * NS])
    assert [str(arm) for arm in arms(log.data)] == ["s1", "router:r"]


def test_a_router_chooses_between_systems_at_every_tick() -> None:
    item = instruction((9.0,))
    log = Log([item])
    log.turns("s1", [0.1, 0.1, 0.1], ms=1)
    log.turns("s2", [0.9, 0.9, 0.9], ms=4)
    log.route("p0", ["s1", "s2", "s1"], ticks_ns=[8 * NS, 9 * NS, 10 * NS])
    got = outcome(log.data, item, Arm.of("router:r"))
    assert got.tick_scores == (0.1, 0.9, 0.1)
    assert got.service_ns == (1_000_000, 5_000_000, 1_000_000)
    assert (got.to_s2, got.decisions) == (1, 3)


def test_evidence_outside_the_window_is_told_from_evidence_inside() -> None:
    items = [question(0, evidence_s=((2.0, 3.0),)), question(1, evidence_s=((15.0, 16.0),))]
    log = Log(items)
    log.frames(range(21))
    for item, text in zip(items, ("blue", "red"), strict=True):
        log.answer(item.id, "s1", text)
        log.call(item.id, "s1", (13, 20))
    rows = [row_of(log.data, item, "s1") for item in items]
    row = evidence_of(log.data, rows, "s1", 0)
    assert row.inside is not None
    assert row.outside is not None
    assert (row.inside.value, row.outside.value) == (1.0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=30))
def test_auroc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    scores = [float(score) for score, _ in pairs]
    positive = [is_positive for _, is_positive in pairs]
    good = [s for s, p in zip(scores, positive, strict=True) if p]
    bad = [s for s, p in zip(scores, positive, strict=True) if not p]
    area = statistics.auroc(scores, positive)
    if not good or not bad:
        assert area is None
        return
    reference = np.mean([(g > b) + 0.5 * (g == b) for g in good for b in bad])
    assert area == pytest.approx(reference)


grades = st.sampled_from([0.0, 0.5, 1.0])
questions = st.lists(
    st.builds(
        Paired,
        confidence=st.sampled_from([0.2, 0.5, 0.9, 1.0]),
        s1_score=grades,
        s2_score=grades,
        lookback_s=st.floats(0, 300),
    ),
    min_size=1,
    max_size=40,
)


@given(questions)
def test_each_point_of_the_cascade_is_what_its_threshold_does(asked: list[Paired]) -> None:
    for point in cascade(asked):
        to_s2 = [each for each in asked if each.confidence < point.threshold]
        stays = [each for each in asked if each.confidence >= point.threshold]
        right = sum(each.s2_score for each in to_s2) + sum(each.s1_score for each in stays)
        assert point.s2_share == pytest.approx(len(to_s2) / len(asked))
        assert point.accuracy == pytest.approx(right / len(asked))


@given(questions)
def test_no_threshold_beats_the_oracle(asked: list[Paired]) -> None:
    best = oracle(asked)
    assert best is not None
    assert all(point.accuracy <= best.accuracy + 1e-12 for point in cascade(asked))


@given(questions)
def test_lookback_bins_hold_every_question_once(asked: list[Paired]) -> None:
    assert sum(each.n for each in by_lookback(asked)) == len(asked)


def test_a_question_of_unknown_evidence_has_no_lookback() -> None:
    log = Log([question(0), question(1, evidence_s=((2.0, 3.0),))])
    for item in log.items:
        log.answer(item.id, "s1", "red")
        log.answer(item.id, "s2", "red")
    found = tradeoff_of(
        {arm: [graded(log.data, item, str(arm)) for item in log.items] for arm in (S1, S2)}
    )
    assert found is not None
    assert [(each.low_s, each.n) for each in found.lookback] == [(8.0, 1)]


def test_intervals_of_clustered_answers_are_wider_than_of_independent_ones() -> None:
    draw = random.Random(0)
    values = [value for _ in range(30) for value in [float(draw.random() < 0.5)] * 10]
    clustered = statistics.mean(values, [str(n // 10) for n in range(300)], 0)
    alone = statistics.mean(values, [str(n) for n in range(300)], 0)
    assert clustered is not None
    assert alone is not None
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_a_quantile_interval_holds_its_value() -> None:
    draw = random.Random(1)
    values = [draw.expovariate(1.0) for _ in range(400)]
    found = statistics.quantile(values, [str(n % 40) for n in range(400)], 0.95, 0)
    assert found is not None
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(np.quantile(values, 0.95))


def test_nothing_to_average_is_no_estimate() -> None:
    assert statistics.mean([], [], 0) is None
    assert statistics.ratio([0.0], [0.0], ["a"], 0) is None
