"""From what an arm did to a graded row, by the benchmark's own scorer."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from dsb.analysis.arms import Outcome
from dsb.benchmarks.benchmark import Benchmark
from dsb.benchmarks.build import find_protocol
from dsb.benchmarks.grading import Grade
from dsb.benchmarks.protocol import Protocol
from dsb.config.schema import RunConfig


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
    """`s1`, `s2`, `blind` or `router:<label>`."""
    failed: bool
    """Nothing was delivered; such a row is wrong in `scores_all` and absent from `scores`."""
    numerator: float
    """A task's score is the sum of numerators over the sum of denominators, unless the protocol takes means."""
    denominator: float
    """1 for a question; emissions + targets for a standing instruction."""
    score: float
    """The item on its own, in [0, 1]."""
    read: str | None
    """The answer that was read from the text; `None` if unreadable or proactive."""
    emissions_s: list[float] | None = None
    """Alerts of a standing instruction in stream seconds."""


@dataclass(frozen=True)
class Graded:
    """What one arm did for one item, and what that is worth."""

    outcome: Outcome
    grade: Grade
    emissions_s: tuple[float, ...]

    @property
    def row(self) -> Row:
        """Its line of `scores.jsonl`."""
        item, grade = self.outcome.item, self.grade
        return Row(
            item=item.id,
            task=item.task,
            category=item.category,
            video=item.video,
            arm=str(self.outcome.arm),
            failed=self.outcome.failed,
            numerator=grade.numerator,
            denominator=grade.denominator,
            score=grade.score,
            read=grade.read,
            emissions_s=None if item.triggers_s is None else list(self.emissions_s),
        )


@dataclass(frozen=True)
class Grader:
    """The scorer of a run's benchmark under its protocol."""

    benchmark: Benchmark
    protocol: Protocol
    #: A tick whose score is at least this is a wish to speak.
    threshold: float
    #: Quiet ticks before the same instruction may speak again.
    rearm_ticks: int

    @classmethod
    def of(cls, config: RunConfig) -> Grader:
        """As the run is configured.

        Raises:
            RegistryError, ConfigError: the benchmark or its protocol is not installed here.
        """
        found = find_protocol(config.dataset.format, config.dataset.protocol)
        rules = config.system.proactive
        return cls(*found, rules.threshold, rules.rearm_ticks)

    def grade(self, outcome: Outcome) -> Graded:
        """Grade one item of one arm."""
        delivered = outcome.as_graded(self.threshold, self.rearm_ticks)
        grade = self.benchmark.grade(self.protocol, outcome.item, delivered)
        return Graded(outcome, grade, delivered.alerts_s or ())
