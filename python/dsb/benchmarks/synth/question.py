"""What a question is: its text, its answer, what it leaves open, and how it is put to a system."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dsb.benchmarks.item import YES_NO
from dsb.benchmarks.synth.world import (
    BACKGROUND_NAMES,
    CELLS,
    COLOR_NAMES,
    COUNTS,
    DIGITS,
    SHAPES,
    Episode,
)

LETTERS = "ABCD"
#: What kind of word an answer is, with the words of that kind.
WORDS: Mapping[str, Sequence[str]] = {
    "color": COLOR_NAMES,
    "background": BACKGROUND_NAMES,
    "shape": SHAPES,
    "cell": CELLS,
    "digit": DIGITS,
    "count": COUNTS,
}
Span = tuple[float, float]
Format = Literal["open", "choice", "yes_no"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question at a time, its answer, and what must have been seen to know it."""

    #: A member of `questions.TASKS`, or `letter` for a question without a video.
    task: str
    #: What is asked for within the task, such as `color` or `count`.
    kind: str
    text: str
    #: One word.
    answer: str
    #: A key of `WORDS`, or `yes_no`.
    words: str
    ask_time_s: float
    #: Stream times `(start, end)` in seconds that must be seen; a moment has equal ends.
    evidence_s: tuple[Span, ...] = ()
    #: Earlier turns of the dialogue, `(question, answer)`.
    history: tuple[tuple[str, str], ...] = ()
    #: Up to four answers to choose from, or `None` for a one-word answer.
    options: tuple[str, ...] | None = None
    #: The answers that the text leaves open, where these are not all `words`.
    pool: tuple[str, ...] | None = None
    #: The part of the text that shifts the prior of the answer; balanced separately.
    key: str = ""
    #: The object that the question is about, where there is one.
    about: Episode | None = None

    @property
    def space(self) -> Sequence[str]:
        """Every answer that the text leaves open."""
        return YES_NO if self.words == "yes_no" else self.pool or WORDS[self.words]

    @property
    def format(self) -> Format:
        """How the answer is given; yes/no questions never have options."""
        if self.words == "yes_no":
            return "yes_no"
        return "choice" if self.options else "open"

    @property
    def chance(self) -> float:
        """The probability that a uniform guess is right."""
        return 1 / len(self.options or self.space)

    @property
    def reply(self) -> str:
        """What a perfect system says: the letter of the right option, or the word."""
        return LETTERS[self.options.index(self.answer)] if self.options else self.answer

    @property
    def prompt(self) -> str:
        """The text, with one line `A. red` per option."""
        lines = zip(LETTERS, self.options or (), strict=False)
        return self.text + "".join(f"\n{letter}. {option}" for letter, option in lines)

    def with_options(self, rng: random.Random) -> Question:
        """The same question as multiple choice, except that yes/no stays yes/no.

        The other options come from the same space as the answers, so options say nothing about the
        answer.
        """
        if self.words == "yes_no":
            return self
        others = [word for word in self.space if word != self.answer]
        options = [self.answer, *rng.sample(others, min(3, len(others)))]
        rng.shuffle(options)
        return replace(self, options=tuple(options))
