"""Everything that decides the trained weights, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from dsb.models.tiny.architecture import Architecture


@dataclass(frozen=True)
class Bucket:
    """One shape of a language batch."""

    units: int
    """Temporal patches of two frames that a row shows. One unit means text only: letters."""
    streams: int
    """Rows of the batch."""
    questions: int
    """Questions packed behind each row."""
    weight: float = 1.0
    """Relative probability of this bucket within its phase."""


@dataclass(frozen=True)
class Phase:
    """A stretch of stage B with its own mixture of batches."""

    buckets: tuple[Bucket, ...]
    steps: int
    letter_share: float
    """Probability of a text-only letter question among the questions of a video row."""
    choice_share: float
    """Probability that a question is multiple choice."""


@dataclass(frozen=True)
class VisionStage:
    """Stage A: the vision tower writes words into its tokens."""

    steps: int = 400
    streams: int = 40
    """Streams per process and step."""
    pairs_per_stream: int = 4
    """Frame pairs rendered from each of them."""
    learning_rate: float = 2e-3
    warmup_steps: int = 30
    end_factor: float = 0.05
    token_rms: float = 0.3
    """The tower is scaled to this root mean square at the end; word vectors have 0.09."""


@dataclass(frozen=True)
class BankStage:
    """Streams that the frozen tower encodes once, per process."""

    streams: int = 360
    duration_s: int = 320


_FULL_PHASES = (
    Phase((Bucket(1, 12, 24), Bucket(4, 24, 6), Bucket(8, 12, 12)), 500, 0.1, 0.5),
    Phase(
        (Bucket(1, 12, 24, 0.5), Bucket(4, 24, 6), Bucket(8, 12, 12), Bucket(16, 8, 16, 2.0)),
        700,
        0.1,
        0.6,
    ),
    Phase(
        (
            Bucket(1, 12, 24, 0.1),
            Bucket(4, 24, 6, 0.7),
            Bucket(8, 12, 12, 0.8),
            Bucket(16, 8, 16, 1.3),
            Bucket(48, 4, 36, 1.5),
            Bucket(96, 2, 56, 0.9),
            Bucket(150, 1, 80, 0.6),
        ),
        5000,
        0.05,
        0.6,
    ),
)


@dataclass(frozen=True)
class LanguageStage:
    """Stage B: the language model answers questions about banked streams."""

    phases: tuple[Phase, ...] = _FULL_PHASES
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    end_factor: float = 0.03
    value_weight: float = 0.3
    """Weight of naming the right option's word after layer `value_layer`."""
    value_layer: int = 4
    end_weight: float = 0.1
    """Weight of the token that ends an answer."""

    @property
    def steps(self) -> int:
        """Optimiser steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> tuple[int, int]:
        """Return the index of the phase that holds `step`, and the step within it."""
        for index, phase in enumerate(self.phases):
            if step < phase.steps:
                return index, step
            step -= phase.steps
        raise IndexError("step lies after the last phase")


@dataclass(frozen=True)
class TrainingSettings:
    """The whole recipe. Every batch is a function of (`seed`, process rank, step)."""

    seed: int = 1
    processes: int = 2
    """Part of the recipe: each process draws its own batches and the gradients are averaged."""
    architecture: Architecture = field(default_factory=Architecture)
    vision: VisionStage = field(default_factory=VisionStage)
    bank: BankStage = field(default_factory=BankStage)
    language: LanguageStage = field(default_factory=LanguageStage)
    checkpoint_every_s: float = 90.0
    """Wall seconds between checkpoints of stage B; no influence on the weights."""
