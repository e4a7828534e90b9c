"""A second, slow answer to every question of the controlled world.

It reads nothing but the text of the question and asks the stream what is on screen, moment by moment, so
it shares no code with the generators.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from dsb.benchmarks.synth.world import CELLS, SHAPES, Episode, Stream

#: Every episode of the tests lasts longer than this, so that no appearance falls between two looks.
STEP_S = 0.25


def appearances(stream: Stream, until_s: float) -> list[Episode]:
    """Everything that was on screen in `[0, until_s]`, in order of appearance."""
    seen: dict[int, Episode] = {}
    moments = [n * STEP_S for n in range(int(until_s / STEP_S) + 1)] + [until_s]
    for t in moments:
        seen |= {id(e): e for e in stream.active(t)}
    return list(seen.values())


def matches(episode: Episode, name: str) -> bool:
    """Whether `name` ("star", "red star", "digit 7") can stand for the object."""
    return name in (episode.kind, f"{episode.color} {episode.kind}", f"digit {episode.kind}")


def unique(seen: list[Episode], name: str) -> Episode:
    """The only object of this name."""
    (found,) = [e for e in seen if matches(e, name)]
    return found


def background_changes(stream: Stream, until_s: float) -> int:
    """How often the background was another one than a moment before."""
    names = [stream.background(n * STEP_S) for n in range(int(until_s / STEP_S) + 1)]
    names.append(stream.background(until_s))
    return sum(a != b for a, b in pairwise(names))


@dataclass
class Scene:
    """What somebody knows who has watched `stream` until `t_s`."""

    stream: Stream
    t_s: float
    #: What the dialogue calls "it".
    it: str = ""

    @property
    def now(self) -> list[Episode]:
        return self.stream.active(self.t_s)

    @cached_property
    def seen(self) -> list[Episode]:
        return appearances(self.stream, self.t_s)

    def count(self, shape: str) -> int:
        return sum(e.kind == shape for e in self.seen)


def yes_no(truth: bool) -> str:
    return "yes" if truth else "no"


def only(candidates: list[Episode]) -> Episode:
    (found,) = candidates
    return found


def shapes(episodes: list[Episode], color: str | None = None) -> list[Episode]:
    return [e for e in episodes if e.kind in SHAPES and color in (None, e.color)]


Rule = Callable[..., str]
#: Text of a question, and its answer from a scene and the words that the text leaves open.
RULES: dict[str, Rule] = {
    r"What color is the background now\?": lambda s: s.stream.background(s.t_s),
    r"How many objects are visible now\?": lambda s: str(len(s.now)),
    r"Is a (\w+) (\w+) visible now\?": lambda s, color, kind: yes_no(
        any((e.color, e.kind) == (color, kind) for e in s.now)
    ),
    r"Which digit is visible now\?": lambda s: (
        only([e for e in s.now if e.kind not in SHAPES]).kind
    ),
    r"Which shape is visible now\?": lambda s: only(shapes(s.now)).kind,
    r"Where is the (.+) now\?": lambda s, name: CELLS[unique(s.now, name).cell],
    r"What color is the (\w+) now\?": lambda s, name: unique(s.now, name).color,
    r"Which shape is (\w+) now\?": lambda s, color: only(shapes(s.now, color)).kind,
    r"What color was the background when the (.+) was visible\?": lambda s, name: (
        s.stream.background(unique(s.seen, name).start_s + 0.5)
    ),
    r"What color was it\?": lambda s: unique(s.seen, s.it).color,
    r"Where was it\?": lambda s: CELLS[unique(s.seen, s.it).cell],
    r"Is it still visible\?": lambda s: yes_no(any(e.kind == s.it for e in s.now)),
    r"What color was the (\w+)\?": lambda s, name: unique(s.seen, name).color,
    r"Where was the (.+)\?": lambda s, name: CELLS[unique(s.seen, name).cell],
    r"Which shape was (\w+)\?": lambda s, color: only(shapes(s.seen, color)).kind,
    r"How many times did a (\w+) appear\?": lambda s, shape: str(s.count(shape)),
    r"How many times did the background change\?": lambda s: str(
        background_changes(s.stream, s.t_s)
    ),
    r"Which appeared first, the (\w+) or the (\w+)\?": lambda s, *pair: next(
        e.kind for e in s.seen if e.kind in pair
    ),
    r"Which appeared more often, the (\w+) or the (\w+)\?": lambda s, *pair: max(pair, key=s.count),
    r"Tell me when (?:a|the digit) (\w+) is visible\. Is it time now\?": lambda s, kind: yes_no(
        any(e.kind == kind for e in s.now)
    ),
    r"Tell me when a (\w+) has appeared (\d) times\. Is it time now\?": lambda s, shape, n: yes_no(
        s.count(shape) >= int(n)
    ),
}


def answer(stream: Stream, text: str, t_s: float, it: str | None = None) -> str:
    """The answer to `text`, asked at `t_s`; `it` is what the dialogue calls it."""
    for pattern, rule in RULES.items():
        if found := re.fullmatch(pattern, text):
            return rule(Scene(stream, t_s, it or ""), *found.groups())
    raise AssertionError(f"no rule for {text!r}")
