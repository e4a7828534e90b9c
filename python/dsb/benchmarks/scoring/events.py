"""One scorer for everything proactive: emissions in time against targets in time.

Emissions closer together than `merge_gap_s` are one, at the time of the earlier. An emission at `t`
is eligible for a target with window `[a, b]` if `a - early <= t <= b + late`; its credit is 1
(`step`), or falls linearly with its distance from the target's optimum `o`: `max(0, 1 - |t - o| /
tau)`, with one tau for each side. A one-to-one matching with the largest total credit pairs
emissions and targets. With TP pairs of positive credit, `FP = emissions - TP` and `FN = targets -
TP`:

    F1 = 2 TP / (2 TP + FP + FN)                    counts
    soft P = credit / emissions, soft R = credit / targets

Counts of several items are added before a ratio is taken (micro average).

False alarms per quiet hour are the emissions outside every window, per hour of the polled time that
no window covers.

All times are stream time in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

#: Times that came through a division count as equal within this.
_EPSILON_S = 1e-6


@dataclass(frozen=True)
class Target:
    """A moment or window at which it is right to speak."""

    start_s: float
    end_s: float
    #: The best moment.
    optimum_s: float

    @classmethod
    def at(cls, trigger_s: float) -> Target:
        """A single moment."""
        return cls(trigger_s, trigger_s, trigger_s)


@dataclass(frozen=True)
class EventRule:
    """A named setting of the scorer."""

    #: How much earlier than the window an emission may come.
    early_s: float
    #: How much later than the window an emission may come.
    late_s: float
    merge_gap_s: float = 0.0
    credit: Literal["step", "linear"] = "step"
    #: Linear credit: seconds before and after the optimum at which the credit is used up.
    tau_early_s: float = 1.0
    tau_late_s: float = 1.0

    def eligible(self, t_s: float, target: Target) -> bool:
        """Whether an emission at `t_s` may count for `target`."""
        earliest = target.start_s - self.early_s - _EPSILON_S
        return earliest <= t_s <= target.end_s + self.late_s + _EPSILON_S

    def credit_of(self, t_s: float, target: Target) -> float:
        """Credit of an emission at `t_s` for `target`, in [0, 1]."""
        if not self.eligible(t_s, target):
            return 0.0
        if self.credit == "step":
            return 1.0
        distance = t_s - target.optimum_s
        tau = self.tau_late_s if distance > 0 else self.tau_early_s
        return max(0.0, 1.0 - abs(distance) / tau)


#: The metrics of a proactive task, by name.
RULES: Mapping[str, EventRule] = {"f1_1s": EventRule(1.0, 1.0), "f1_2s": EventRule(2.0, 2.0)}


@dataclass(frozen=True)
class EventCounts:
    """What the scorer counted; counts of several items add up with `+`."""

    emissions: int = 0
    targets: int = 0
    #: Pairs of positive credit (TP).
    matched: int = 0
    #: Total credit of the pairs.
    credit: float = 0.0
    #: Emissions outside every window.
    false_alarms: int = 0
    #: Polled seconds that no window covers.
    quiet_s: float = 0.0

    def __add__(self, other: EventCounts) -> EventCounts:
        return EventCounts(
            self.emissions + other.emissions,
            self.targets + other.targets,
            self.matched + other.matched,
            self.credit + other.credit,
            self.false_alarms + other.false_alarms,
            self.quiet_s + other.quiet_s,
        )

    @property
    def f1(self) -> float | None:
        """F1 by counts; `None` if nothing was due and nothing was said."""
        return _ratio(2 * self.matched, self.emissions + self.targets)

    @property
    def precision(self) -> float | None:
        """Share of the emissions that were matched; `None` without emissions."""
        return _ratio(self.matched, self.emissions)

    @property
    def recall(self) -> float | None:
        """Share of the targets that were matched; `None` without targets."""
        return _ratio(self.matched, self.targets)

    @property
    def soft_f1(self) -> float | None:
        """Harmonic mean of soft precision and recall; `None` if both are undefined."""
        return _ratio(2 * self.credit, self.emissions + self.targets)

    @property
    def false_alarms_per_quiet_hour(self) -> float | None:
        """False alarms per hour without a target; `None` if no time was quiet."""
        return _ratio(3600 * self.false_alarms, self.quiet_s)


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def score_events(
    emissions_s: Sequence[float],
    targets: Sequence[Target],
    rule: EventRule,
    polled_s: tuple[float, float],
) -> EventCounts:
    """Compare the emissions of one item with its targets.

    `polled_s` are the first and the last moment at which the system could speak.
    """
    emissions = merge_close(emissions_s, rule.merge_gap_s)
    credits = [[rule.credit_of(t, target) for t in emissions] for target in targets]
    pairs = [c for c in best_matching(credits) if c > 0]
    return EventCounts(
        emissions=len(emissions),
        targets=len(targets),
        matched=len(pairs),
        credit=sum(pairs),
        false_alarms=sum(not any(rule.eligible(t, g) for g in targets) for t in emissions),
        quiet_s=_quiet_s(targets, rule, polled_s),
    )


def merge_close(emissions_s: Sequence[float], gap_s: float) -> list[float]:
    """The emissions in order, without those closer than `gap_s` to the one kept before."""
    kept: list[float] = []
    for t in sorted(emissions_s):
        if not kept or t - kept[-1] >= gap_s:
            kept.append(t)
    return kept


def _quiet_s(targets: Sequence[Target], rule: EventRule, polled_s: tuple[float, float]) -> float:
    start, end = polled_s
    quiet, covered_until = 0.0, start
    for target in sorted(targets, key=lambda g: g.start_s):
        quiet += max(0.0, min(target.start_s - rule.early_s, end) - covered_until)
        covered_until = max(covered_until, target.end_s + rule.late_s)
    return quiet + max(0.0, end - covered_until)


def best_matching(credits: Sequence[Sequence[float]]) -> list[float]:
    """Credits of the pairs in a one-to-one matching of rows and columns with the largest sum.

    `credits` is rectangular, rows by columns, with values >= 0. The assignment problem by shortest
    augmenting paths with potentials (H. W. Kuhn 1955, J. Munkres 1957), `O(n^2 m)` for n rows and m
    >= n columns.
    """
    if not credits or not credits[0]:
        return []
    if len(credits) > len(credits[0]):
        credits = list(zip(*credits, strict=True))
    row_of = _assign([[-c for c in row] for row in credits])
    return [credits[row][column] for column, row in row_of.items()]


def _assign(cost: Sequence[Sequence[float]]) -> dict[int, int]:
    """The cheapest assignment of every row to a column of its own, as column -> row."""
    rows, columns = len(cost), len(cost[0])
    row_price, column_price = [0.0] * rows, [0.0] * columns
    row_of: dict[int, int] = {}
    for new_row in range(rows):
        # Shortest paths from `new_row` over reduced costs, until a free column is reached.
        distance, came_from = [float("inf")] * columns, [-1] * columns
        done: set[int] = set()
        column, row, reached = -1, new_row, 0.0
        while True:
            for j in range(columns):
                step = reached + cost[row][j] - row_price[row] - column_price[j]
                if j not in done and step < distance[j]:
                    distance[j], came_from[j] = step, column
            column = min((j for j in range(columns) if j not in done), key=distance.__getitem__)
            reached = distance[column]
            if column not in row_of:
                break
            done.add(column)
            row = row_of[column]
        row_price[new_row] += reached
        for j in done:
            row_price[row_of[j]] += reached - distance[j]
            column_price[j] -= reached - distance[j]
        while column != -1:
            previous = came_from[column]
            row_of[column] = new_row if previous == -1 else row_of[previous]
            column = previous
    return row_of
