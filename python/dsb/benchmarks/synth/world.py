"""The controlled world: what is on screen when, known exactly.

A screen has four cells. Coloured shapes and black digits appear in a cell, drift, and leave; the
background changes from time to time. A `Stream` is the complete ground truth of one video: `render`
draws it and `questions` asks about it. No two objects of one kind are ever visible together, so
"the star" is unique at any moment.

Every random draw comes from a sub-seed hashed from a tag (`sub_random`). With plain integer seeds
the draws of a stream and of its questions would be correlated, and the text of a question would
give its answer away.

All times are stream time in seconds.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

SHAPES: Sequence[str] = ("circle", "square", "triangle", "star", "cross", "ring")
COLORS: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 160, 40),
    "blue": (30, 60, 220),
    "yellow": (240, 220, 40),
    "white": (250, 250, 250),
    "purple": (140, 30, 170),
}
BACKGROUNDS: Mapping[str, tuple[int, int, int]] = {
    "gray": (128, 128, 128),
    "pink": (245, 170, 190),
    "brown": (110, 75, 45),
    "cyan": (120, 205, 215),
}
#: Digits are drawn in this colour, which no shape has.
DIGIT_COLOR = "black"
DIGIT_RGB = (15, 15, 15)
#: Cells in reading order: cell `i` is in row `i // 2`, column `i % 2`.
CELLS: Sequence[str] = ("top-left", "top-right", "bottom-left", "bottom-right")
COLOR_NAMES: Sequence[str] = tuple(COLORS)
BACKGROUND_NAMES: Sequence[str] = tuple(BACKGROUNDS)
DIGITS: Sequence[str] = tuple(str(i) for i in range(10))
#: Numbers that a count can have.
COUNTS: Sequence[str] = tuple(str(i) for i in range(5))

#: Training streams use seeds below this, held-out streams seeds from it on.
FIRST_HELD_OUT_SEED = 1_000_000_000

_FAR_FUTURE_S = 1e9
#: An episode or background that ends within this time of a crop's start is left out of the crop.
_CROP_MARGIN_S = 1.01


def sub_random(*tag: object) -> random.Random:
    """A generator seeded by the hash of `repr(tag)`; different tags give unrelated sequences.

    The tag is part of a stream's identity: `120` and `120.0` are different tags.
    """
    digest = hashlib.blake2b(repr(tag).encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "little"))


@dataclass(frozen=True, slots=True)
class Episode:
    """One object from its appearance to its departure.

    Positions and velocities are in world units, 28 to a cell side, relative to the centre of the
    cell.
    """

    start_s: float
    #: Half-open: the object is visible for `start_s <= t < end_s`.
    end_s: float
    #: A member of `SHAPES` or `DIGITS`.
    kind: str
    #: A key of `COLORS`, or `DIGIT_COLOR`.
    color: str
    #: Index into `CELLS`.
    cell: int
    scale: float = 1.0
    x: float = 0.0
    y: float = 0.0
    #: World units per second.
    vx: float = 0.0
    vy: float = 0.0

    @property
    def is_digit(self) -> bool:
        """Whether the object is a digit and not a shape."""
        return self.kind in DIGITS

    @property
    def name(self) -> str:
        """How a question names the object: `red star`, `digit 7`."""
        return f"digit {self.kind}" if self.is_digit else f"{self.color} {self.kind}"

    def visible_at(self, t_s: float) -> bool:
        """Whether the object is on screen at `t_s`."""
        return self.start_s <= t_s < self.end_s


@dataclass(frozen=True, slots=True)
class Background:
    """One background segment, `start_s <= t < end_s`."""

    start_s: float
    end_s: float
    #: A key of `BACKGROUNDS`.
    name: str


@dataclass(frozen=True, slots=True)
class Stream:
    """Ground truth of one video of `duration_s` seconds."""

    duration_s: float
    #: In order of appearance.
    episodes: tuple[Episode, ...]
    #: Gapless from 0; the last one never ends.
    backgrounds: tuple[Background, ...]
    seed: int = 0

    def active(self, t_s: float) -> list[Episode]:
        """The objects on screen at `t_s`, in order of appearance."""
        return [e for e in self.episodes if e.start_s <= t_s < e.end_s]

    def background(self, t_s: float) -> str:
        """The name of the background at `t_s`."""
        return next(b.name for b in self.backgrounds if b.start_s <= t_s < b.end_s)


def make_stream(
    seed: int,
    duration_s: float = 96.0,
    density: float = 1.4,
    *,
    episode_s: tuple[float, float] = (4.0, 12.0),
    background_s: tuple[float, float] = (10.0, 40.0),
) -> Stream:
    """The stream of `seed`: the same arguments give the same stream on every machine.

    `density` is about the mean number of objects on screen; `episode_s` and `background_s` are the
    ranges of their durations.
    """
    rng = sub_random("stream", seed)
    backgrounds = _make_backgrounds(rng, duration_s, background_s)
    episodes = _make_episodes(rng, duration_s, density, episode_s)
    return Stream(duration_s, episodes, backgrounds, seed)


def _make_backgrounds(
    rng: random.Random, duration_s: float, length_s: tuple[float, float]
) -> tuple[Background, ...]:
    segments: list[Background] = []
    t, last = 0.0, None
    while t < duration_s:
        length = rng.uniform(*length_s)
        name = rng.choice([b for b in BACKGROUND_NAMES if b != last])
        segments.append(Background(t, min(t + length, duration_s + 1), name))
        t += length
        last = name
    segments[-1] = replace(segments[-1], end_s=duration_s + _FAR_FUTURE_S)
    return tuple(segments)


def _make_episodes(
    rng: random.Random, duration_s: float, density: float, length_s: tuple[float, float]
) -> tuple[Episode, ...]:
    shortest, longest = length_s
    # Each stream has favourite shapes, so that some appear often and others never.
    weights = [rng.gammavariate(0.8, 1) + 0.05 for _ in SHAPES]
    free_at = [0.0] * len(CELLS)
    gap = (shortest + longest) / 2 / max(density, 0.05)
    episodes: list[Episode] = []
    t = rng.uniform(-4, 3)
    while t < duration_s:
        cells = [c for c in range(len(CELLS)) if free_at[c] <= t]
        if cells:
            cell = rng.choice(cells)
            length = rng.uniform(shortest, longest)
            kind = rng.choice(DIGITS) if rng.random() < 0.4 else rng.choices(SHAPES, weights)[0]
            color = DIGIT_COLOR if kind in DIGITS else rng.choice(COLOR_NAMES)
            start, end = max(t, 0.0), min(t + length, duration_s + 5)
            alone = not any(e.kind == kind and e.end_s > t - 1 for e in episodes)
            if alone and end - start >= shortest:
                episodes.append(_place(rng, start, end, kind, color, cell, length))
                free_at[cell] = t + length + 2
        t += rng.expovariate(1 / gap) * 0.8 + 0.2 * gap
    return tuple(episodes)


def _place(
    rng: random.Random, start: float, end: float, kind: str, color: str, cell: int, length: float
) -> Episode:
    return Episode(
        start,
        end,
        kind,
        color,
        cell,
        scale=rng.uniform(0.85, 1.1),
        x=rng.uniform(-2, 2),
        y=rng.uniform(-2, 2),
        vx=rng.uniform(-1, 1) * 2 / length,
        vy=rng.uniform(-1, 1) * 2 / length,
    )


def crop(stream: Stream, offset_s: float, duration_s: float) -> Stream:
    """The part `[offset_s, offset_s + duration_s)` as a stream of its own.

    It is what somebody sees who tunes in at `offset_s`: what ended before that is unknown to the
    crop.
    """
    episodes = tuple(
        replace(e, start_s=max(e.start_s - offset_s, 0.0), end_s=e.end_s - offset_s)
        for e in stream.episodes
        if e.end_s > offset_s + _CROP_MARGIN_S and e.start_s < offset_s + duration_s
    )
    backgrounds = [
        Background(max(b.start_s - offset_s, 0.0), b.end_s - offset_s, b.name)
        for b in stream.backgrounds
        if b.end_s > offset_s + _CROP_MARGIN_S
    ]
    backgrounds[0] = replace(backgrounds[0], start_s=0.0)
    return Stream(duration_s, episodes, tuple(backgrounds), stream.seed)
