"""The rule set of a benchmark: how it is played, asked, read and added up."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from dsb.benchmarks.item import Item, Task
from dsb.benchmarks.scoring.choice import read_answer
from dsb.benchmarks.scoring.events import RULES, EventRule

#: Earlier exchanges that a question of a dialogue shows: `item`: as the item's chain says; `model`: with
#: the system's own answers; `reference`: with the right ones; `none`.
History = Literal["item", "model", "reference", "none"]
#: How items make the score of a task. `ratio`: the sum of numerators over the sum of denominators
#: (micro average, micro F1). `mean`: the mean of the items' own scores.
Aggregation = Literal["ratio", "mean"]


@dataclass(frozen=True)
class Protocol:
    """A named rule set; it is part of a result's identity."""

    name: str
    """How configurations and results call it."""
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    """Dotted key -> value: visible context, sampling, answering and whatever else of a configuration
    the protocol fixes. A layer between the defaults and the user's file, origin `protocol:NAME`."""
    prompts: Mapping[Task, str] = field(default_factory=dict)
    """Text of a question per task, in place of `system.*.prompt`; the same placeholders."""
    history: History = "item"
    """What a question of a dialogue shows of earlier exchanges."""
    read: Callable[[Item, str], str | None] = read_answer
    """The answer that a text gives to an item, spelled as in the item; `None` if unreadable."""
    event_rules: Mapping[str, EventRule] = field(default_factory=lambda: RULES)
    """Settings of the event scorer for proactive items, by metric name."""
    headline: str = "f1_1s"
    """The metric of `event_rules` whose F1 stands for the proactive task."""
    aggregation: Aggregation = "ratio"
    """How items make the score of a task."""

    def __post_init__(self) -> None:
        """Raises `ValueError` for a headline without a rule and for a prompt that never asks."""
        if self.headline not in self.event_rules:
            raise ValueError(
                f"protocol {self.name!r}: headline {self.headline!r} is none of its event_rules "
                f"({', '.join(self.event_rules)})"
            )
        for task, prompt in self.prompts.items():
            names = {name for _, name, _, _ in string.Formatter().parse(prompt)}
            if "question" not in names:
                raise ValueError(
                    f"protocol {self.name!r}: the prompt of {task} never shows the question; "
                    "put {question} into it"
                )

    def metric(self, task: str) -> str:
        """What the score of a task is called."""
        return self.headline if task == "proactive" else "accuracy"

    @property
    def asking(self) -> Mapping[str, JsonValue]:
        """What changes answers and stands in no field of the configuration; empty for most."""
        changed: dict[str, JsonValue] = {}
        if self.prompts:
            changed["prompts"] = {str(task): text for task, text in self.prompts.items()}
        if self.history != "item":
            changed["history"] = self.history
        return changed
