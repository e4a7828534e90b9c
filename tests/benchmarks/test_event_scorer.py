"""The event scorer against hand-made cases and against a search over all matchings."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb.benchmarks.scoring.alerts import alerts
from dsb.benchmarks.scoring.events import (
    RULES,
    EventCounts,
    EventRule,
    Target,
    best_matching,
    merge_close,
    score_events,
)

ONE = EventRule(1.0, 1.0)
POLLED = (8.0, 119.0)

times = st.lists(st.integers(0, 80).map(lambda n: n / 4), max_size=6)
credit_tables = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 4).map(lambda n: n / 4), min_size=width, max_size=width),
        min_size=1,
        max_size=5,
    )
)


def count(emissions: list[float], triggers: list[float], rule: EventRule = ONE) -> EventCounts:
    return score_events(emissions, [Target.at(t) for t in triggers], rule, POLLED)


def brute_force(credits: list[list[float]]) -> float:
    """The largest total credit over all one-to-one matchings."""
    if len(credits) > len(credits[0]):
        credits = [list(column) for column in zip(*credits, strict=True)]
    columns = range(len(credits[0]))
    return max(
        sum(row[c] for row, c in zip(credits, chosen, strict=True))
        for chosen in permutations(columns, len(credits))
    )


# -- matching ---------------------------------------------------------------------------------


@given(credit_tables)
def test_no_matching_earns_more_credit(credits: list[list[float]]) -> None:
    assert sum(best_matching(credits)) == pytest.approx(brute_force(credits))


@given(times, times)
def test_counts_agree_with_a_search_over_all_matchings(
    emissions: list[float], triggers: list[float]
) -> None:
    found = count(emissions, triggers)
    hits = [[float(abs(e - t) <= 1) for e in emissions] for t in triggers]
    assert found.matched == (brute_force(hits) if emissions and triggers else 0)
    assert (found.emissions, found.targets) == (len(emissions), len(triggers))


@given(times, times)
def test_a_wider_window_never_finds_less(emissions: list[float], triggers: list[float]) -> None:
    wide, narrow = RULES["f1_2s"], RULES["f1_1s"]
    assert count(emissions, triggers, wide).matched >= count(emissions, triggers, narrow).matched


@given(times, st.permutations(range(6)))
def test_the_order_of_emissions_does_not_matter(emissions: list[float], order: list[int]) -> None:
    shuffled = [emissions[i] for i in order if i < len(emissions)]
    assert count(shuffled, [5.0, 6.0, 15.0]) == count(emissions, [5.0, 6.0, 15.0])


def test_two_emissions_do_not_share_a_target() -> None:
    found = count([20.0, 20.5], [20.0])
    assert (found.matched, found.emissions) == (1, 2)
    assert found.f1 == pytest.approx(2 / 3)


def test_two_targets_do_not_share_an_emission() -> None:
    found = count([20.5], [20.0, 21.0])
    assert (found.precision, found.recall) == (1.0, 0.5)


def test_a_greedy_choice_would_lose_a_pair() -> None:
    # 21.0 is nearest to 21.5, but then 20.0 has nothing left: 22.0 must take 21.5.
    assert count([21.0, 22.0], [20.0, 21.5]).matched == 2


def test_the_window_is_closed_on_both_sides() -> None:
    assert count([19.0], [20.0]).matched == 1
    assert count([21.0], [20.0]).matched == 1
    assert count([21.01], [20.0]).matched == 0


def test_times_that_came_through_a_division_still_meet() -> None:
    assert count([0.1 * 3 + 1.0], [0.3], ONE).matched == 1


def test_a_target_can_be_a_window() -> None:
    window = Target(10.0, 14.0, 12.0)
    for t, expected in ((8.9, 0), (9.0, 1), (12.0, 1), (15.0, 1), (15.1, 0)):
        assert score_events([t], [window], ONE, POLLED).matched == expected


# -- credit -----------------------------------------------------------------------------------


def test_linear_credit_falls_with_the_distance_on_each_side() -> None:
    rule = EventRule(4.0, 4.0, credit="linear", tau_early_s=2.0, tau_late_s=4.0)
    target = Target.at(10.0)
    credits = [rule.credit_of(t, target) for t in (8.0, 9.0, 10.0, 11.0, 13.0, 14.0)]
    assert credits == [0.0, 0.5, 1.0, 0.75, 0.25, 0.0]


def test_an_emission_without_credit_is_not_a_hit() -> None:
    rule = EventRule(4.0, 4.0, credit="linear", tau_late_s=2.0)
    found = count([13.0], [10.0], rule)
    assert (found.matched, found.credit, found.false_alarms) == (0, 0.0, 0)


def test_soft_f1_is_the_harmonic_mean_of_soft_precision_and_recall() -> None:
    rule = EventRule(2.0, 2.0, credit="linear", tau_late_s=2.0)
    found = count([11.0, 40.0], [10.0], rule)
    soft_p, soft_r = 0.5 / 2, 0.5 / 1
    assert found.soft_f1 == pytest.approx(2 * soft_p * soft_r / (soft_p + soft_r))


# -- merging and false alarms -----------------------------------------------------------------


def test_close_emissions_are_one_at_the_time_of_the_earlier() -> None:
    assert merge_close([12.0, 10.0, 11.9], 2.0) == [10.0, 12.0]
    assert merge_close([1.0, 1.0], 0.0) == [1.0, 1.0]


def test_a_row_of_close_emissions_is_not_swallowed_whole() -> None:
    assert merge_close([0.0, 1.5, 3.0, 4.5], 2.0) == [0.0, 3.0]


def test_false_alarms_count_per_hour_without_a_target() -> None:
    found = count([10.0, 20.0, 30.0, 30.5], [20.0])
    assert found.false_alarms == 3
    assert found.quiet_s == pytest.approx(111.0 - 2.0)
    assert found.false_alarms_per_quiet_hour == pytest.approx(3 * 3600 / 109.0)


def test_a_second_alert_inside_a_window_is_wrong_but_no_false_alarm() -> None:
    found = count([20.0, 20.5], [20.0])
    assert (found.matched, found.false_alarms) == (1, 0)


@given(times)
def test_quiet_time_is_what_no_window_covers(triggers: list[float]) -> None:
    step = 1 / 16
    centres = [8.0 + step * (n + 0.5) for n in range(int(111 / step))]
    covered = [any(abs(c - t) <= 1 for t in triggers) for c in centres]
    expected = step * covered.count(False)
    assert count([], triggers).quiet_s == pytest.approx(expected)


def test_nothing_due_and_nothing_said_has_no_f1() -> None:
    silent = count([], [])
    assert (silent.f1, silent.precision, silent.recall) == (None, None, None)
    assert silent.false_alarms_per_quiet_hour == 0


def test_counts_add_up_before_the_ratio_is_taken() -> None:
    total = count([20.0], [20.0]) + count([30.0], []) + count([], [40.0, 50.0])
    assert total.f1 == pytest.approx(2 * 1 / (2 + 3))


# -- from ticks to alerts ---------------------------------------------------------------------


def spoken(pattern: str, *, rearm_ticks: int = 2, once: bool = False) -> list[float]:
    """Alerts for `y` and `n` at ticks 0, 1, 2, ...; `?` is a tick that was not processed."""
    scores = [{"y": 0.9, "n": 0.1, "?": None}[letter] for letter in pattern]
    ticks = [float(n) for n in range(len(pattern))]
    return alerts(ticks, scores, 0.5, rearm_ticks=rearm_ticks, once=once)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", []),
        ("nnn", []),
        ("nyyyy", [1]),
        ("yyyy", [0]),
        ("ynynyn", [0]),
        ("ynnynny", [0, 3, 6]),
        ("nynnnyy", [1, 5]),
    ],
)
def test_an_alert_is_a_rising_edge_and_two_quiet_ticks_arm_the_next(
    pattern: str, expected: list[int]
) -> None:
    assert spoken(pattern) == expected


def test_what_happens_once_is_said_once() -> None:
    assert spoken("nynnynny", once=True) == [1]


def test_an_unknown_tick_neither_speaks_nor_counts_as_quiet() -> None:
    assert spoken("yn?ny") == [0, 4]
    assert spoken("yn?y") == [0]
    assert spoken("??y") == [2]


def test_the_number_of_quiet_ticks_is_a_setting() -> None:
    assert spoken("ynyny", rearm_ticks=1) == [0, 2, 4]
    assert spoken("ynnynnny", rearm_ticks=3) == [0, 7]


def test_a_score_at_the_threshold_speaks() -> None:
    assert alerts([1.0], [0.5], 0.5) == [1.0]
    assert alerts([1.0], [0.499], 0.5) == []


def test_ticks_without_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        alerts([1.0, 2.0], [0.5])


@given(st.text("yn", max_size=12))
def test_alerts_agree_with_the_plain_rule(pattern: str) -> None:
    expected: list[float] = []
    for n, letter in enumerate(pattern):
        since = pattern[int(expected[-1]) + 1 : n] if expected else "nn"
        if letter == "y" and "nn" in since:
            expected.append(float(n))
    assert spoken(pattern) == expected
