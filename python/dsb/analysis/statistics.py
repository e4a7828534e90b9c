"""Estimates with intervals. Whole videos are resampled, because questions about one video are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsb import _core

REPLICATES = 10_000
LEVEL = 0.95
#: Below this many videos a percentile interval is too narrow; summaries say so.
FEW_CLUSTERS = 20


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over `n` observations in `clusters` videos."""

    value: float
    low: float
    high: float
    n: int
    clusters: int


def _codes(clusters: Sequence[str]) -> list[int]:
    names = {name: code for code, name in enumerate(dict.fromkeys(clusters))}
    return [names[name] for name in clusters]


def ratio(
    numerators: Sequence[float], denominators: Sequence[float], clusters: Sequence[str], seed: int
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
    )
    return Estimate(interval.value, interval.low, interval.high, len(numerators), len(set(codes)))


def mean(values: Sequence[float], clusters: Sequence[str], seed: int) -> Estimate | None:
    """The mean of `values`; `None` when there are none."""
    return ratio(values, [1.0] * len(values), clusters, seed)


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
    return Estimate(interval.value, interval.low, interval.high, len(values), len(set(codes)))


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
