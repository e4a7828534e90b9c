"""From the questions and instructions of a stream to benchmark items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from pydantic import JsonValue

from dsb.benchmarks.item import Answer, Chain, Exchange, Item, Task
from dsb.benchmarks.synth.fair import Fair, select_questions
from dsb.benchmarks.synth.levels import Level
from dsb.benchmarks.synth.question import Question
from dsb.benchmarks.synth.questions import OPENING
from dsb.benchmarks.synth.standing import Standing, standing
from dsb.benchmarks.synth.world import Episode, Stream

SOURCE = "synth"
#: Questions are asked, and instructions polled, at whole multiples of `1 / FPS` seconds.
FPS = 1.0
#: How a kind of question is called in the category of its item.
_CATEGORY = {"yes_no": "visible", "nth": "nth_appearance"}


def stream_items(
    stream: Stream,
    level: Level,
    fair: Fair,
    *,
    video: str,
    prefix: str,
    per_format: int,
    instructions: int,
) -> list[Item]:
    """All items of one stream, in the order of their ask times.

    `fair` is shared by the streams of a benchmark. `per_format` open and as many multiple-choice
    questions are asked per task, and `instructions` standing instructions are given.
    """

    def accept(question: Question, chosen: Sequence[Question]) -> bool:
        if question.task == "sequential" and opening_time_s(stream, question) is None:
            return False
        return question.task == "realtime" or not any(_repeats(question, q) for q in chosen)

    questions = select_questions(stream, fair, per_format, FPS, gap_s=level.gap_s, accept=accept)
    items: list[Item] = []
    for number, question in enumerate(questions):
        name = f"{prefix}-q{number:02d}"
        if question.task == "sequential":
            items += _dialogue(stream, question, name, video)
        else:
            items.append(_item(question, name, video))
    given = {s.condition: s for s in standing(stream, FPS, instructions)}
    for number, instruction in enumerate(given.values()):
        items.append(_proactive(stream, instruction, f"{prefix}-p{number:02d}", video))
    return sorted(items, key=lambda item: (item.ask_time_s, item.id))


def _repeats(question: Question, other: Question) -> bool:
    """Whether both ask the same about the same object in the same format, at different times."""
    same_question = (question.text, question.format) == (other.text, other.format)
    return same_question and (question.about, question.answer) == (other.about, other.answer)


def _item(question: Question, name: str, video: str, chain: Chain | None = None) -> Item:
    options = question.options
    meta: dict[str, JsonValue] = {"chance": question.chance}
    if options is None:
        meta["space"] = list(question.space)
    return Item(
        id=name,
        task=cast(Task, question.task),
        source=SOURCE,
        category=f"{question.task}.{_CATEGORY.get(question.kind, question.kind)}",
        video=video,
        ask_time_s=question.ask_time_s,
        question=question.text,
        options=options,
        answer=Answer(
            option=options.index(question.answer) if options else None, text=question.answer
        ),
        evidence_s=_until(question.evidence_s, question.ask_time_s),
        chain=chain,
        meta=meta,
    )


def _until(
    spans: tuple[tuple[float, float], ...], ask_time_s: float
) -> tuple[tuple[float, float], ...]:
    return tuple((start, min(end, ask_time_s)) for start, end in spans)


# -- dialogues ----------------------------------------------------------------------------------


def opening_time_s(stream: Stream, question: Question) -> float | None:
    """When "which shape is visible now?" has the answer that the dialogue continues from.

    It is the first sampled moment, before the second turn, at which the object is the only shape on
    screen; `None` if there is none.
    """
    about = question.about
    if about is None:
        return None
    frame = int(about.start_s * FPS)
    while frame / FPS < min(about.end_s, question.ask_time_s):
        if _is_only_shape(stream, about, frame / FPS):
            return frame / FPS
        frame += 1
    return None


def _is_only_shape(stream: Stream, episode: Episode, t_s: float) -> bool:
    return [e for e in stream.active(t_s) if not e.is_digit] == [episode]


def _dialogue(stream: Stream, question: Question, name: str, video: str) -> Iterator[Item]:
    """Two items: the opening at its own earlier time, and the turn that calls its answer "it".

    The opening is not scored: it has no balanced answers, and it gives the dialogue, not the
    difficulty.
    """
    opened_s = opening_time_s(stream, question)
    assert opened_s is not None
    assert question.about is not None
    opening = Question(
        "sequential",
        "opening",
        OPENING,
        question.about.kind,
        "shape",
        opened_s,
        ((opened_s, opened_s),),
    )
    first = _item(opening, f"{name}-0", video, Chain(id=name, index=0, history="reference"))
    yield first.model_copy(update={"scored": False})
    reference = tuple(Exchange(question=text, answer=answer) for text, answer in question.history)
    chain = Chain(id=name, index=1, history="reference", reference=reference)
    yield _item(question, f"{name}-1", video, chain)


# -- standing instructions ----------------------------------------------------------------------


def _proactive(stream: Stream, instruction: Standing, name: str, video: str) -> Item:
    condition = instruction.condition
    last = instruction.start + len(instruction.truth) - 1
    end_s = last / FPS
    witnesses = [e for e in condition.witnesses(stream) if e.start_s <= end_s]
    return Item(
        id=name,
        task="proactive",
        source=SOURCE,
        category=f"proactive.{_CATEGORY.get(condition.kind, condition.kind)}",
        video=video,
        ask_time_s=instruction.start / FPS,
        question=condition.instruction,
        evidence_s=tuple((e.start_s, min(e.end_s, end_s)) for e in witnesses),
        triggers_s=tuple(frame / FPS for frame in instruction.triggers),
        meta={"kind": condition.kind, "once": condition.once, "end_s": end_s},
    )
