"""Questions as token ids, exactly as the chat template and the tokenizer write them.

A prompt is `PREFIX`, the visual tokens, and the question part, which begins with the end-of-vision
mark. In training a tenth of the questions gets an unknown word, and some batches get the kind of
boilerplate that benchmarks put around a question, so that neither disturbs the model later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsb.benchmarks.synth.question import LETTERS
from dsb.models.tiny.vocabulary import (
    ASSISTANT_ID,
    IM_END_ID,
    IM_START_ID,
    UNKNOWN_ID,
    USER_ID,
    VISION_END_ID,
    VISION_START_ID,
    encode,
)

if TYPE_CHECKING:
    from random import Random

    from dsb.benchmarks.synth.question import Question

#: `<|im_start|>user <|vision_start|>`: what stands before the visual tokens.
PREFIX = (IM_START_ID, USER_ID, VISION_START_ID)
PREFIX_LENGTH = len(PREFIX)

CHOICE_BOILERPLATE = (
    "Question: {question}\nOptions:\n{options}\nAnswer with the option letter only.",
    "{question}\n{options}\nBest option:",
    (
        "You are an advanced video question answering assistant. {question}\n{options}\n"
        "The best answer is:"
    ),
    (
        "Carefully watch the video and answer the question. Question: {question}\n{options}\n"
        "Answer with the option's letter from the given choices directly."
    ),
)
OPEN_BOILERPLATE = (
    "Question: {question}\nAnswer with one word.",
    "{question} Answer in one word.",
    "You are an advanced video question answering assistant. {question}",
)

UNKNOWN_WORD_SHARE = 0.1


def with_boilerplate(question: Question, rng: Random) -> str:
    """Return the question's text inside one of the benchmark-like frames."""
    options = "".join(
        f"\n{letter}. {option}"
        for letter, option in zip(LETTERS, question.options or (), strict=False)
    )
    frames = CHOICE_BOILERPLATE if options else OPEN_BOILERPLATE
    return rng.choice(frames).format(question=question.text, options=options.strip())


def question_ids(
    question: Question, rng: Random | None = None, boilerplate_share: float = 0.0
) -> list[int]:
    """Return the ids from `<|vision_end|>` to the place where the answer begins.

    Args:
        question: earlier turns of its dialogue come first, then the question itself.
        rng: in training, the source of unknown words and boilerplate; `None` adds neither.
        boilerplate_share: probability of boilerplate.
    """
    ids = [VISION_END_ID]
    for asked, answered in question.history:
        ids += [*encode(asked), IM_END_ID, IM_START_ID, ASSISTANT_ID]
        ids += [*encode(answered), IM_END_ID, IM_START_ID, USER_ID]
    framed = rng is not None and boilerplate_share > 0 and rng.random() < boilerplate_share
    text = with_boilerplate(question, rng) if framed and rng else question.prompt
    words = encode(text)
    if rng is not None and rng.random() < UNKNOWN_WORD_SHARE:
        words.insert(rng.randrange(len(words) + 1), UNKNOWN_ID)
    return [*ids, *words, IM_END_ID, IM_START_ID, ASSISTANT_ID]


def answer_ids(answer: str) -> list[int]:
    """Return the ids of an answer and the mark that ends it."""
    return [*encode(answer), IM_END_ID]
