"""Resampling through the binding: slow references, and how often intervals hold the truth."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb import _core
from dsb.analysis import statistics

MASK = 2**64 - 1
NORMAL = NormalDist()


def finalise(word: int) -> int:
    """The finaliser of SplitMix64."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & MASK
    return word ^ word >> 31


def drawn(seed: int, replicate: int, clusters: int) -> list[int]:
    state = finalise(finalise(seed) + replicate & MASK)
    words = [finalise(state + n * 0x9E3779B97F4A7C15 & MASK) for n in range(1, clusters + 1)]
    return [word * clusters >> 64 for word in words]


def bca(
    sums: list[tuple[int, int]], seed: int, replicates: int, level: float
) -> tuple[float, float]:
    """Efron & Tibshirani (1993), section 14.3, with ties of the bias counted half."""

    def ratio(chosen: list[int]) -> float:
        return sum(sums[c][0] for c in chosen) / sum(sums[c][1] for c in chosen)

    count = len(sums)
    value = ratio(list(range(count)))
    found = sorted(ratio(drawn(seed, number, count)) for number in range(replicates))
    share = sum((each < value) + (each <= value) for each in found) / (2 * replicates)
    bias = NORMAL.inv_cdf(min(max(share, 0.5 / replicates), 1 - 0.5 / replicates))
    without = [ratio([other for other in range(count) if other != one]) for one in range(count)]
    distances = np.mean(without) - np.array(without)
    squares = (distances**2).sum()
    acceleration = (distances**3).sum() / (6 * squares**1.5) if squares > 1e-20 else 0.0
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = bias + NORMAL.inv_cdf(tail)
        ends.append(np.quantile(found, NORMAL.cdf(bias + z / (1 - acceleration * z))))
    return ends[0], ends[1]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=2, max_size=12),
    st.integers(0, MASK),
    st.sampled_from([0.5, 0.9, 0.95]),
)
def test_a_bca_interval_is_that_of_its_definition(
    sums: list[tuple[int, int]], seed: int, level: float
) -> None:
    hits, of = zip(*sums, strict=True)
    clusters = range(len(sums))
    found = _core.bootstrap_ratio(
        hits, of, clusters, replicates=99, level=level, seed=seed, method="bca"
    )
    low, high = bca(sums, seed, 99, level)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)


def test_a_skewed_statistic_has_a_longer_tail_under_bca() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=60))
    plain, corrected = (
        _core.bootstrap_ratio(values, np.ones(60), np.arange(60), method=method)
        for method in ("percentile", "bca")
    )
    assert corrected.low > plain.low
    assert corrected.high > plain.high
    assert corrected.standard_error == plain.standard_error


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="method must be one of 'percentile', 'bca'"):
        _core.bootstrap_ratio([1], [1], [0], method="studentised")  # type: ignore[arg-type]


def test_a_curve_names_the_point_that_is_wrong() -> None:
    with pytest.raises(ValueError, match="all denominators at point 1 are 0"):
        _core.bootstrap_curve([([1], [1]), ([1], [0])], [0])


def test_a_curve_of_the_analysis_is_its_ratios_with_a_band() -> None:
    draw = np.random.default_rng(3)
    videos = [f"video {n // 5}" for n in range(200)]
    confidence, right = draw.random(200), draw.random(200) < 0.7
    answered = [(confidence >= threshold).astype(float) for threshold in (0.0, 0.4, 0.8)]
    points = [((right * kept).tolist(), kept.tolist()) for kept in answered]
    curve = statistics.curve(points, videos, 5, "bca")
    assert curve is not None
    for point, (numerators, denominators) in zip(curve, points, strict=True):
        assert point.estimate == statistics.ratio(numerators, denominators, videos, 5, "bca")
        # The whole curve is harder to hold than any of its points.
        assert point.band_high - point.band_low > point.estimate.high - point.estimate.low
    assert statistics.curve([*points, ([0.0] * 200, [0.0] * 200)], videos, 5) is None


def test_two_systems_are_compared_item_by_item() -> None:
    draw = np.random.default_rng(4)
    videos = [str(n // 4) for n in range(400)]
    easy = draw.random(400)
    ones = [1.0] * 400
    # Both fail on the hard questions; a is right on a few more.
    a, b = (easy > 0.30).astype(float).tolist(), (easy > 0.36).astype(float).tolist()
    paired = statistics.difference((a, ones), (b, ones), videos, 0)
    assert paired is not None
    assert 0 < paired.low < paired.value < paired.high
    p_value = statistics.p_value((a, ones), (b, ones), videos, 0)
    assert p_value is not None
    assert p_value < 0.01
    assert statistics.p_value((a, ones), (a, ones), videos, 0) == 1.0
    assert statistics.difference((a, ones), ([], []), videos, 0) is None


# -- how often the truth is held --------------------------------------------------------------

VIDEOS, QUESTIONS, RUNS = 200, 10, 4_000


def answers(draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether two systems answer, and which questions are asked: (VIDEOS, QUESTIONS) each.

    A video is easy or hard for both; its number of questions varies and does not depend on that.
    """
    easy = draw.beta(2, 2, (VIDEOS, 1))
    asked = np.arange(QUESTIONS) < draw.integers(3, QUESTIONS + 1, (VIDEOS, 1))
    luck = draw.random((VIDEOS, QUESTIONS))
    return (luck < easy + 0.2) & asked, (luck < easy + 0.1) & asked, asked


def truth(shift: float) -> float:
    """Mean of `min(easy + shift, 1)` with `easy` from Beta(2, 2)."""
    easy = (np.arange(10**6) + 0.5) / 10**6
    return float((np.minimum(easy + shift, 1) * 6 * easy * (1 - easy)).mean())


@pytest.mark.slow
def test_intervals_of_200_videos_hold_the_truth_94_to_96_times_in_100() -> None:
    # The mean of 200 almost normal video sums is held about 94.8 % of the time by the normal quantile, which the
    # percentile interval approaches; 4,000 runs tell the share to within 1 % (3 standard errors).
    draw = np.random.default_rng(2024)
    clusters = np.repeat(np.arange(VIDEOS), QUESTIONS)
    right_a, right_b = truth(0.2), truth(0.1)
    wanted = {"ratio": right_a, "difference": right_a - right_b}
    held = {(what, method): 0 for what in wanted for method in ("percentile", "bca")}
    for run in range(RUNS):
        a, b, asked = (each.astype(float).ravel() for each in answers(draw))
        for what, method in held:
            settings = {"replicates": 1_000, "seed": run, "method": method}
            if what == "ratio":
                found = _core.bootstrap_ratio(a, asked, clusters, **settings)
            else:
                found = _core.bootstrap_difference((a, asked), (b, asked), clusters, **settings)
            held[what, method] += found.low <= wanted[what] <= found.high
    shares = {each: count / RUNS for each, count in held.items()}
    assert all(0.94 <= share <= 0.96 for share in shares.values()), shares


def risk_and_coverage(
    draw: np.random.Generator, easy: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Share of right answers among those of at least a confidence, at ten thresholds."""
    confidence = draw.random((VIDEOS, QUESTIONS))
    right = draw.random((VIDEOS, QUESTIONS)) < 0.25 + 0.25 * easy + 0.5 * confidence
    kept = [confidence >= threshold for threshold in THRESHOLDS]
    return [((right & each).ravel().astype(float), each.ravel().astype(float)) for each in kept]


THRESHOLDS = np.arange(10) / 10
CURVES = 1_000


@pytest.mark.slow
def test_a_band_holds_whole_curves_and_equal_curves_are_seldom_told_apart() -> None:
    # 1,000 runs tell a share of 95 % to within 2 % (3 standard errors).
    draw = np.random.default_rng(2025)
    clusters = np.repeat(np.arange(VIDEOS), QUESTIONS)
    wanted = 0.25 + 0.125 + 0.5 * (1 + THRESHOLDS) / 2
    held, alone, any_point = 0, 0, 0
    for run in range(CURVES):
        easy = draw.beta(2, 2, (VIDEOS, 1))
        a, b = risk_and_coverage(draw, easy), risk_and_coverage(draw, easy)
        band = np.array(_core.bootstrap_curve(a, clusters, replicates=1_000, seed=run).band)
        held += bool(np.all((band[:, 0] <= wanted) & (wanted <= band[:, 1])))
        tested = _core.swap_test(a, b, clusters, permutations=499, seed=run)
        alone += tested[5][0] <= 0.05
        any_point += min(adjusted for _, adjusted in tested) <= 0.05
    assert 0.93 <= held / CURVES <= 0.97
    assert 0.03 <= alone / CURVES <= 0.07
    assert 0.03 <= any_point / CURVES <= 0.07
