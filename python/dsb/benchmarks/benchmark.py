"""What a benchmark is to the rest of the program: items, and rules by which answers are scored.

`ItemFiles` is any benchmark that lies as `dsb-items/1` files under a data root. A benchmark with
rules of its own brings another class with the same methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dsb.benchmarks.item import Item
from dsb.benchmarks.layout import select_items
from dsb.benchmarks.root import DataRoot
from dsb.benchmarks.scoring.alerts import alerts
from dsb.benchmarks.scoring.choice import is_correct
from dsb.benchmarks.scoring.events import RULES, EventCounts, EventRule, Target, score_events


@dataclass(frozen=True)
class Protocol_:  # noqa: N801 - `Protocol` is the word of typing
    """A named set of scoring rules; it is part of a result's identity."""

    name: str
    """How configurations and results call it."""
    event_rules: Mapping[str, EventRule] = field(default_factory=lambda: RULES)
    """Settings of the event scorer for proactive items, by metric name."""
    headline: str = "f1_1s"
    """The metric of `event_rules` whose F1 stands for the proactive task."""


class Benchmark(Protocol):
    """A source of items that knows how they are scored."""

    name: str
    #: By name; `default` is always there.
    protocols: Mapping[str, Protocol_]

    def items(
        self,
        root: DataRoot,
        benchmark: str = "all",
        shard: str | None = None,
        max_samples: int | None = None,
    ) -> list[Item]:
        """The items of a run. Raises `BenchmarkError` for missing or wrong files."""

    def correct(self, protocol: Protocol_, item: Item, text: str) -> bool:
        """Whether `text` is the right answer to a question; what cannot be read is wrong."""

    def events(
        self,
        protocol: Protocol_,
        item: Item,
        ticks_s: Sequence[float],
        scores: Sequence[float | None],
        *,
        threshold: float,
        rearm_ticks: int,
    ) -> dict[str, EventCounts]:
        """Counts by metric for one proactive item, from the score of every tick."""


class ItemFiles:
    """A benchmark that lies as `dsb-items/1` files under a data root."""

    name = "items"
    protocols: Mapping[str, Protocol_] = {"default": Protocol_("default")}

    def items(
        self,
        root: DataRoot,
        benchmark: str = "all",
        shard: str | None = None,
        max_samples: int | None = None,
    ) -> list[Item]:
        """The selected items in the order of their files; see `layout.select_items`."""
        return select_items(root, benchmark, shard, max_samples)

    def correct(self, protocol: Protocol_, item: Item, text: str) -> bool:
        """Whether `text` is the right answer, by the rules of `scoring.choice`."""
        return is_correct(item, text)

    def events(
        self,
        protocol: Protocol_,
        item: Item,
        ticks_s: Sequence[float],
        scores: Sequence[float | None],
        *,
        threshold: float = 0.5,
        rearm_ticks: int = 2,
    ) -> dict[str, EventCounts]:
        """Turn ticks into alerts (`scoring.alerts`) and compare them with the triggers.

        Raises `ValueError` for an item without triggers, and if ticks and scores differ in number.
        """
        if item.triggers_s is None:
            raise ValueError(f"item {item.id} has no triggers; score its answer instead")
        spoken = alerts(ticks_s, scores, threshold, rearm_ticks=rearm_ticks, once=item.once)
        targets = [Target.at(trigger) for trigger in item.triggers_s]
        polled = (ticks_s[0], ticks_s[-1]) if ticks_s else (item.ask_time_s, item.ask_time_s)
        return {
            metric: score_events(spoken, targets, rule, polled)
            for metric, rule in protocol.event_rules.items()
        }


#: The benchmark of plain items files, registered as `items`.
ITEM_FILES: Benchmark = ItemFiles()
