"""Estimates with intervals. Whole videos are resampled, because questions about one video are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dsb import _core

REPLICATES = 10_000
LEVEL = 0.95
#: Below this many videos a percentile interval is too narrow; summaries say so.
FEW_CLUSTERS = 20


#: `bca` corrects the percentile interval for bias and skewness (Efron 1987).
Method = Literal["percentile", "bca"]
#: Numerators and denominators, one pair per observation.
Ratio = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over `n` observations in `clusters` videos."""

    value: float
    low: float
    high: float
    n: int
    clusters: int


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve: its own interval, and the ends of the band that holds the whole curve with 95 %."""

    estimate: Estimate
    band_low: float
    band_high: float


def _codes(clusters: Sequence[str]) -> list[int]:
    names = {name: code for code, name in enumerate(dict.fromkeys(clusters))}
    return [names[name] for name in clusters]


def _estimate(interval: _core.Interval, codes: Sequence[int]) -> Estimate:
    return Estimate(interval.value, interval.low, interval.high, len(codes), len(set(codes)))


def _undefined(ratios: Sequence[Ratio]) -> bool:
    return not all(sum(denominators) for _, denominators in ratios)


def ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    clusters: Sequence[str],
    seed: int,
    method: Method = "percentile",
) -> Estimate | None:
    """`sum(numerators) / sum(denominators)`; `None` when there is nothing to divide by.

    A mean has denominators of 1; micro F1 is `2 * hits / (emissions + targets)`.
    """
    if not numerators or sum(denominators) == 0:
        return None
    codes = _codes(clusters)
    interval = _core.bootstrap_ratio(
        list(numerators),
        list(denominators),
        codes,
        replicates=REPLICATES,
        level=LEVEL,
        seed=seed,
        method=method,
    )
    return _estimate(interval, codes)


def mean(
    values: Sequence[float], clusters: Sequence[str], seed: int, method: Method = "percentile"
) -> Estimate | None:
    """The mean of `values`; `None` when there are none."""
    return ratio(values, [1.0] * len(values), clusters, seed, method)


def difference(
    a: Ratio, b: Ratio, clusters: Sequence[str], seed: int, method: Method = "percentile"
) -> Estimate | None:
    """`ratio(a) - ratio(b)`, paired by observation; `None` when one of them is not defined."""
    if _undefined([a, b]):
        return None
    codes = _codes(clusters)
    interval = _core.bootstrap_difference(
        a, b, codes, replicates=REPLICATES, level=LEVEL, seed=seed, method=method
    )
    return _estimate(interval, codes)


def curve(
    points: Sequence[Ratio], clusters: Sequence[str], seed: int, method: Method = "percentile"
) -> list[CurvePoint] | None:
    """A ratio at each point, for example of a sweep of thresholds; `None` when one of them is not defined.

    One draw of videos evaluates all points, so the band (Montiel Olea & Plagborg-Moller 2019) knows how they move
    together.
    """
    if not points or _undefined(points):
        return None
    codes = _codes(clusters)
    found = _core.bootstrap_curve(
        points, codes, replicates=REPLICATES, level=LEVEL, seed=seed, method=method
    )
    return [
        CurvePoint(_estimate(interval, codes), low, high)
        for interval, (low, high) in zip(found.points, found.band, strict=True)
    ]


def p_value(a: Ratio, b: Ratio, clusters: Sequence[str], seed: int) -> float | None:
    """Two-sided p-value that two ratios are equal, their sides exchanged video by video.

    For two means over the same observations this is the sign-flip test. It holds its level for few videos, too.
    `None` when one of the ratios is not defined.
    """
    if _undefined([a, b]):
        return None
    tested = _core.swap_test([a], [b], _codes(clusters), permutations=REPLICATES, seed=seed)
    return tested[0][0]


def quantile(
    values: Sequence[float], clusters: Sequence[str], q: float, seed: int
) -> Estimate | None:
    """The `q`-quantile of `values`; `None` when there are none."""
    if not values:
        return None
    codes = _codes(clusters)
    interval = _core.bootstrap_quantile(
        list(values), codes, q, replicates=REPLICATES, level=LEVEL, seed=seed
    )
    return _estimate(interval, codes)


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """Probability that a positive scores above a negative, ties counting half (Mann-Whitney U / nm).

    `None` when one of the classes is empty.
    """
    positives = sum(positive)
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        return None
    order = sorted(range(len(scores)), key=scores.__getitem__)
    rank_sum, at = 0.0, 0
    while at < len(order):
        end = at
        while end < len(order) and scores[order[end]] == scores[order[at]]:
            end += 1
        mid_rank = (at + 1 + end) / 2
        rank_sum += mid_rank * sum(positive[i] for i in order[at:end])
        at = end
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
