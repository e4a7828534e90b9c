"""A second, slow answer to every question of the controlled world.

It reads nothing but the text of the question and asks the stream what is on screen, moment by moment, so
it shares no code with the generators.
"""

from __future__ import annotations

import re

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
    return sum(a != b for a, b in zip(names, names[1:], strict=False))


def answer(stream: Stream, text: str, t_s: float, it: str | None = None) -> str:
    """The answer to `text`, asked at `t_s`; `it` is what the dialogue calls it."""
    now = stream.active(t_s)
    present = text.endswith("now?") and "appeared" not in text
    seen = now if present else appearances(stream, t_s)
    shapes_now = [e for e in now if e.kind in SHAPES]

    def yes_no(truth: bool) -> str:
        return "yes" if truth else "no"

    def count(shape: str) -> int:
        return sum(e.kind == shape for e in seen)

    if found := re.fullmatch(r"What color is the background now\?", text):
        return stream.background(t_s)
    if re.fullmatch(r"How many objects are visible now\?", text):
        return str(len(now))
    if found := re.fullmatch(r"Is a (\w+) (\w+) visible now\?", text):
        return yes_no(any((e.color, e.kind) == found.groups() for e in now))
    if re.fullmatch(r"Which digit is visible now\?", text):
        return unique([e for e in now if e.kind not in SHAPES], now_digit(now)).kind
    if re.fullmatch(r"Which shape is visible now\?", text):
        (only,) = shapes_now
        return only.kind
    if found := re.fullmatch(r"Where is the (.+) now\?", text):
        return CELLS[unique(now, found[1]).cell]
    if found := re.fullmatch(r"What color is the (\w+) now\?", text):
        return unique(now, found[1]).color
    if found := re.fullmatch(r"Which shape is (\w+) now\?", text):
        (only,) = [e for e in shapes_now if e.color == found[1]]
        return only.kind
    if found := re.fullmatch(r"What color was the background when the (.+) was visible\?", text):
        return stream.background(unique(seen, found[1]).start_s + 0.5)
    if re.fullmatch(r"What color was it\?", text):
        assert it is not None
        return unique(seen, it).color
    if re.fullmatch(r"Where was it\?", text):
        assert it is not None
        return CELLS[unique(seen, it).cell]
    if re.fullmatch(r"Is it still visible\?", text):
        return yes_no(any(e.kind == it for e in now))
    if found := re.fullmatch(r"What color was the (\w+)\?", text):
        return unique(seen, found[1]).color
    if found := re.fullmatch(r"Where was the (.+)\?", text):
        return CELLS[unique(seen, found[1]).cell]
    if found := re.fullmatch(r"Which shape was (\w+)\?", text):
        (only,) = [e for e in seen if e.color == found[1]]
        return only.kind
    if found := re.fullmatch(r"How many times did a (\w+) appear\?", text):
        return str(count(found[1]))
    if re.fullmatch(r"How many times did the background change\?", text):
        return str(background_changes(stream, t_s))
    if found := re.fullmatch(r"Which appeared first, the (\w+) or the (\w+)\?", text):
        return next(e.kind for e in seen if e.kind in found.groups())
    if found := re.fullmatch(r"Which appeared more often, the (\w+) or the (\w+)\?", text):
        return max(found.groups(), key=count)
    if found := re.fullmatch(r"Tell me when the digit (\d) is visible. Is it time now\?", text):
        return yes_no(any(e.kind == found[1] for e in now))
    if found := re.fullmatch(r"Tell me when a (\w+) is visible. Is it time now\?", text):
        return yes_no(any(e.kind == found[1] for e in now))
    if found := re.fullmatch(
        r"Tell me when a (\w+) has appeared (\d) times. Is it time now\?", text
    ):
        return yes_no(count(found[1]) >= int(found[2]))
    raise AssertionError(f"no rule for {text!r}")


def now_digit(now: list[Episode]) -> str:
    """The only digit on screen."""
    (digit,) = [e.kind for e in now if e.kind not in SHAPES]
    return digit
