"""From what an arm delivered to a graded row; every task's score is a sum of numerators over denominators."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from dsb.analysis.arms import Delivered
from dsb.benchmarks.scoring.alerts import alerts
from dsb.benchmarks.scoring.choice import is_correct, read_answer
from dsb.benchmarks.scoring.events import RULES, EventCounts, Target, score_events

#: The rule whose F1 is the score of the proactive task.
MAIN_RULE = "f1_1s"


class Row(BaseModel):
    """One line of `scores.jsonl`: one item of one arm."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    item: str
    """Item id."""
    task: str
    """Its task."""
    category: str
    """Its category."""
    video: str
    """Its video: the cluster of every interval."""
    arm: str
    """`s1`, `s2`, `blind` or `router:<name>`."""
    failed: bool
    """Nothing was delivered; such a row is wrong in `scores_all` and absent from `scores`."""
    numerator: float
    """A task's score is the sum of numerators over the sum of denominators."""
    denominator: float
    """1 for a question; emissions + targets for a standing instruction."""
    score: float
    """The item on its own, in [0, 1]."""
    read: str | None
    """The answer that was read from the text; `None` if unreadable or proactive."""
    emissions_s: list[float] | None = None
    """Alerts of a standing instruction in stream seconds."""


def grade(delivered: Delivered, *, threshold: float, rearm_ticks: int) -> Row:
    """Grade one item of one arm; `threshold` and `rearm_ticks` turn tick scores into alerts."""
    if delivered.item.format == "event":
        emissions = _emissions(delivered, threshold, rearm_ticks)
        return _event_row(delivered, emissions)
    return _question_row(delivered)


def _question_row(delivered: Delivered) -> Row:
    item, text = delivered.item, delivered.text
    right = float(text is not None and is_correct(item, text))
    read = read_answer(item, text) if text is not None else None
    return _row(delivered, right, 1.0, right, read, None)


def _event_row(delivered: Delivered, emissions_s: list[float]) -> Row:
    counts = count_events(delivered, emissions_s, MAIN_RULE)
    total = counts.emissions + counts.targets
    hits = 2.0 * counts.matched
    # Saying nothing where nothing was due is right.
    alone = 0.0 if delivered.failed else (hits / total if total else 1.0)
    return _row(delivered, hits, float(total), alone, None, emissions_s)


def _row(
    delivered: Delivered,
    numerator: float,
    denominator: float,
    score: float,
    read: str | None,
    emissions_s: list[float] | None,
) -> Row:
    item = delivered.item
    return Row(
        item=item.id,
        task=item.task,
        category=item.category,
        video=item.video,
        arm=delivered.arm,
        failed=delivered.failed,
        numerator=numerator,
        denominator=denominator,
        score=score,
        read=read,
        emissions_s=emissions_s,
    )


def _emissions(delivered: Delivered, threshold: float, rearm_ticks: int) -> list[float]:
    if delivered.ticks_ns is None or delivered.tick_scores is None:
        return []
    # An unknown tick neither speaks nor counts as quiet.
    scores = [
        score if state == "processed" else None
        for score, state in zip(delivered.tick_scores, delivered.tick_states, strict=True)
    ]
    return alerts(
        [tick / 1e9 for tick in delivered.ticks_ns],
        scores,
        threshold,
        rearm_ticks=rearm_ticks,
        once=delivered.item.once,
    )


def count_events(delivered: Delivered, emissions_s: list[float], rule: str) -> EventCounts:
    """The counts of one standing instruction under a named rule.

    The polled time goes by the ticks: an item need not say when it ends.
    """
    item, ticks_ns = delivered.item, delivered.ticks_ns
    targets = [Target.at(trigger) for trigger in item.triggers_s or ()]
    end_s = ticks_ns[-1] / 1e9 if ticks_ns else item.ask_time_s
    return score_events(emissions_s, targets, RULES[rule], (item.ask_time_s, end_s))
