"""Difficulty levels of the synthetic benchmark, and which seeds it may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dsb.benchmarks.synth.world import FIRST_HELD_OUT_SEED

LevelName = Literal["easy", "default", "hard"]
Split = Literal["dev", "test"]

#: First seed of each held-out split. Models are trained on seeds below all of these.
SPLIT_BASES: Mapping[Split, int] = {"dev": FIRST_HELD_OUT_SEED, "test": 2 * FIRST_HELD_OUT_SEED}
#: Streams that one seed of the generator can make.
STREAMS_PER_SEED = 100_000
MAX_SEED = FIRST_HELD_OUT_SEED // STREAMS_PER_SEED - 1


@dataclass(frozen=True)
class Level:
    """How hard the streams and their questions are."""

    name: LevelName
    duration_s: float
    #: About the mean number of objects on screen.
    density: float
    #: Objects of clue questions left at least this many seconds before the question.
    gap_s: float


LEVELS: Mapping[LevelName, Level] = {
    "easy": Level("easy", 60.0, 0.8, 4.0),
    "default": Level("default", 120.0, 1.4, 10.0),
    "hard": Level("hard", 300.0, 2.0, 60.0),
}


def stream_seed(seed: int, index: int, split: Split = "dev") -> int:
    """Seed of stream `index` of the benchmark with `seed`: never one that a model is trained on.

    It is `base + seed * 100_000 + index`, where `base` is 10^9 for `dev` and 2 * 10^9 for `test`,
    so different benchmarks never share a stream. Raises `ValueError` outside `0 <= seed <= 9999`
    and `0 <= index < 100_000`.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"the seed must lie between 0 and {MAX_SEED}, not {seed}")
    if not 0 <= index < STREAMS_PER_SEED:
        raise ValueError(f"a seed has streams 0 to {STREAMS_PER_SEED - 1}, not {index}")
    return SPLIT_BASES[split] + seed * STREAMS_PER_SEED + index
