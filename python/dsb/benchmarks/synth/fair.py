"""The benchmark's choice of questions: no text gives its answer away.

A question is accepted only while its answer, its letter and its kind are not ahead of their share
among the questions that look the same. So a system that sees nothing, or always says the most
frequent answer, stays near chance. The training set of a model keeps the natural frequencies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dsb.benchmarks.synth.questions import WORDS, Question, ask
from dsb.benchmarks.synth.world import Stream, sub_random

#: How many kinds of question a task has.
_KINDS = {"realtime": 7, "clue": 4, "reasoning": 4, "sequential": 3}
#: A kind may be this much more frequent than its equal share.
_KIND_EXCESS = 1.5
_TRIES = 60


@dataclass(frozen=True, slots=True)
class _Entry:
    book: tuple[str, ...]
    value: str
    share: float
    slack: float


class Fair:
    """Accepts questions one by one and keeps the books balanced; use one for a whole benchmark."""

    def __init__(self) -> None:
        self._books: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)

    def accept(self, question: Question) -> bool:
        """Whether the question may join the benchmark; if so, it is counted."""
        entries = list(_entries(question))
        if any(self._ahead(entry) for entry in entries):
            return False
        for entry in entries:
            self._books[entry.book][entry.value] += 1
        return True

    def _ahead(self, entry: _Entry) -> bool:
        book = self._books[entry.book]
        allowed = book.total() * entry.share + entry.slack
        return entry.share < 1 and book[entry.value] > allowed


def _entries(question: Question) -> Iterator[_Entry]:
    look = (question.task, question.kind, question.format, question.key)
    # "The star or the ring?" leaves two answers open, but over all pairs all six shapes stay
    # balanced.
    answers = WORDS["shape"] if question.words == "shape" else question.space
    yield _Entry((*look, "answer"), question.answer, 1 / len(answers), 0.5)
    share = _KIND_EXCESS / _KINDS.get(question.task, 1)
    yield _Entry((question.task, "kinds"), question.kind, share, 2)
    if question.options:
        letters = (*look, "letter")
        yield _Entry(letters, question.reply, 1 / len(question.options), 0.5)


def select_questions(
    stream: Stream,
    fair: Fair,
    per_format: int = 3,
    fps: float = 1.0,
    *,
    tasks: Sequence[str] = ("realtime", "clue", "reasoning", "sequential"),
    gap_s: float = 10.0,
    accept: Callable[[Question, Sequence[Question]], bool] = lambda question, chosen: True,
) -> list[Question]:
    """`per_format` open and as many multiple-choice questions per task, asked at sampled frames.

    `accept(question, chosen so far)` can refuse a question before `fair` counts it. There are fewer
    questions where the stream does not offer enough that `fair` accepts.
    """
    rng = sub_random("questions", stream.seed, stream.duration_s, per_format, fps)
    chosen: list[Question] = []
    for task in tasks:
        earliest_s = 12 if task == "realtime" else min(40, stream.duration_s / 2)
        frames = (int(earliest_s * fps), int(stream.duration_s * fps))
        for multiple_choice in (0, 1):
            for _ in range(per_format):
                for _ in range(_TRIES):
                    t_s = rng.randrange(*frames) / fps
                    question = ask(
                        stream,
                        t_s,
                        rng,
                        task,
                        multiple_choice=multiple_choice,
                        tries=4,
                        gap_s=gap_s,
                    )
                    if question and accept(question, chosen) and fair.accept(question):
                        chosen.append(question)
                        break
    return chosen
