"""What S1's confidence buys: accuracy against S2's share as the escalation threshold moves, and look-back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

#: Edges in seconds of stream time between the bins of `by_lookback`.
LOOKBACK_EDGES_S = (0.0, 8.0, 20.0, 40.0, 80.0, 160.0, 320.0)


@dataclass(frozen=True)
class Paired:
    """One question that both systems answered."""

    #: S1's probability of its own answer.
    confidence: float
    #: Grades in [0, 1].
    s1_score: float
    s2_score: float
    #: `None` where nobody knows when the evidence was.
    lookback_s: float | None


@dataclass(frozen=True)
class Point:
    """A cascade that escalates below `threshold`."""

    threshold: float
    s2_share: float
    accuracy: float


@dataclass(frozen=True)
class Bin:
    """Questions whose first evidence lies `[low_s, high_s)` seconds before they are asked."""

    low_s: float
    high_s: float
    n: int
    s1: float
    s2: float


def cascade(questions: Sequence[Paired]) -> list[Point]:
    """Every distinct operating point, from never to always escalating.

    At threshold c all questions with S1 confidence below c go to S2.
    """
    if not questions:
        return []
    ranked = sorted(questions, key=lambda each: each.confidence)
    total, score = len(ranked), sum(each.s1_score for each in ranked)
    points = [Point(0.0, 0.0, score / total)]
    for done, each in enumerate(ranked, start=1):
        score += each.s2_score - each.s1_score
        following = ranked[done].confidence if done < total else None
        if following != each.confidence:
            threshold = 1.01 if following is None else following
            points.append(Point(threshold, done / total, score / total))
    return points


def oracle(questions: Sequence[Paired]) -> Point | None:
    """S2 exactly where its grade is the better one."""
    if not questions:
        return None
    total = len(questions)
    needed = sum(each.s2_score > each.s1_score for each in questions)
    score = sum(max(each.s1_score, each.s2_score) for each in questions)
    return Point(0.0, needed / total, score / total)


def by_lookback(questions: Sequence[Paired]) -> list[Bin]:
    """Accuracy of both systems by how far back the evidence begins; empty bins are left out."""
    bins = []
    known = [each for each in questions if each.lookback_s is not None]
    for low, high in itertools.pairwise(LOOKBACK_EDGES_S):
        inside = [each for each in known if low <= (each.lookback_s or 0.0) < high]
        if inside:
            bins.append(
                Bin(
                    low,
                    high,
                    len(inside),
                    sum(each.s1_score for each in inside) / len(inside),
                    sum(each.s2_score for each in inside) / len(inside),
                )
            )
    return bins
