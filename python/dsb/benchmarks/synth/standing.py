"""Standing instructions, "tell me when ...", and the exact moments at which they are due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dsb.benchmarks.synth.world import DIGITS, SHAPES, Episode, Stream, sub_random

#: Kinds of instruction in the order in which a stream receives them.
_KINDS: Sequence[str] = ("see", "digit", "nth", "see")
_FIRING_SHARE = 0.7
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Condition:
    """What an instruction waits for."""

    #: `see` a shape, see a `digit`, or the `nth` appearance of a shape.
    kind: str
    #: The shape or digit.
    target: str
    #: Which appearance, for `nth`.
    number: int = 1

    @property
    def instruction(self) -> str:
        """The text that a system is polled with."""
        event = {
            "see": f"a {self.target} is visible",
            "digit": f"the digit {self.target} is visible",
            "nth": f"a {self.target} has appeared {self.number} times",
        }[self.kind]
        return f"Tell me when {event}. Is it time now?"

    @property
    def once(self) -> bool:
        """Whether the condition stays true once it is, so that it is announced only once."""
        return self.kind == "nth"

    def holds(self, stream: Stream, t_s: float) -> bool:
        """Whether the instruction is fulfilled at `t_s`."""
        return self.truth(stream, [t_s])[0]

    def truth(self, stream: Stream, times_s: Sequence[float]) -> tuple[bool, ...]:
        """Whether the instruction is fulfilled, at each of `times_s`."""
        matching = [e for e in stream.episodes if e.kind == self.target]
        if not self.once:
            return tuple(any(e.visible_at(t) for e in matching) for t in times_s)
        return tuple(sum(e.start_s <= t for e in matching) >= self.number for t in times_s)

    def witnesses(self, stream: Stream) -> Iterator[Episode]:
        """The episodes that make the condition true, in order of appearance."""
        matching = [e for e in stream.episodes if e.kind == self.target]
        yield from matching[: self.number] if self.once else matching


@dataclass(frozen=True, slots=True)
class Standing:
    """An instruction given at frame `start` and polled at every sampled frame from then on."""

    condition: Condition
    #: Index of the first sampled frame at which it is polled.
    start: int
    #: Whether the condition holds, at each sampled frame from `start` on.
    truth: tuple[bool, ...]
    #: Indices of the sampled frames at which the condition becomes true.
    triggers: tuple[int, ...]


def standing(
    stream: Stream, fps: float = 1.0, count: int = 4, start_s: float = 8.0
) -> list[Standing]:
    """`count` instructions; about 70 % of them fire and none is fulfilled at its start.

    A kind for which the stream offers nothing is left out.
    """
    rng = sub_random("standing", stream.seed, stream.duration_s)
    start = int(start_s * fps)
    frames = range(start, int(stream.duration_s * fps))
    found = []
    for i in range(count):
        kind = _KINDS[i % len(_KINDS)]
        fires = rng.random() < _FIRING_SHARE
        for _ in range(_TRIES):
            target = rng.choice(DIGITS if kind == "digit" else SHAPES)
            condition = Condition(kind, target, rng.choice([2, 2, 3]) if kind == "nth" else 1)
            truth = condition.truth(stream, [frame / fps for frame in frames])
            rises = zip(truth, truth[1:], frames[1:], strict=False)
            triggers = tuple(frame for before, now, frame in rises if now and not before)
            if not truth[0] and bool(triggers) == fires:
                found.append(Standing(condition, start, truth, triggers))
                break
    return found
