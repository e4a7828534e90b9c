"""The general way to grade an item: texts by reading them, alerts by comparing them with triggers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dsb.benchmarks.item import Item
from dsb.benchmarks.protocol import Protocol
from dsb.benchmarks.scoring.choice import same_answer
from dsb.benchmarks.scoring.events import EventCounts, Target, score_events


@dataclass(frozen=True)
class Delivered:
    """What was delivered for one item, as far as a scorer sees it: not by whom, and not at what cost."""

    text: str | None = None
    """Answer to a question; `None` when there is none, and for a standing instruction."""
    alerts_s: tuple[float, ...] | None = None
    """Stream times at which a standing instruction was spoken up for; `None` when every tick failed,
    and for a question."""
    polled_until_s: float | None = None
    """Stream time of the last tick of a standing instruction."""

    @property
    def failed(self) -> bool:
        """Nothing was delivered."""
        return self.text is None and self.alerts_s is None


@dataclass(frozen=True)
class Grade:
    """What an item is worth."""

    score: float
    """The item on its own, in [0, 1]."""
    numerator: float
    """A task's score may be the sum of numerators over the sum of denominators."""
    denominator: float
    """1 for a question; emissions + targets for a standing instruction."""
    read: str | None = None
    """The answer that was read from the text; `None` if unreadable or proactive."""
    events: Mapping[str, EventCounts] = field(default_factory=dict)
    """Counts of a standing instruction by metric."""


def grade_item(protocol: Protocol, item: Item, delivered: Delivered) -> Grade:
    """Grade by the rules of `protocol`; what failed is wrong."""
    if item.triggers_s is not None:
        return _grade_alerts(protocol, item, delivered)
    read = None if delivered.text is None else protocol.read(item, delivered.text)
    right = float(read is not None and same_answer(item, read))
    return Grade(right, right, 1.0, read)


def _grade_alerts(protocol: Protocol, item: Item, delivered: Delivered) -> Grade:
    targets = [Target.at(trigger) for trigger in item.triggers_s or ()]
    # The polled time goes by the ticks: an item need not say when it ends.
    polled = (item.ask_time_s, max(item.ask_time_s, delivered.polled_until_s or 0.0))
    events = {
        metric: score_events(delivered.alerts_s or (), targets, rule, polled)
        for metric, rule in protocol.event_rules.items()
    }
    counts = events[protocol.headline]
    hits, total = 2.0 * counts.matched, counts.emissions + counts.targets
    # Saying nothing where nothing was due is right.
    alone = 0.0 if delivered.failed else (hits / total if total else 1.0)
    return Grade(alone, hits, float(total), None, events)
