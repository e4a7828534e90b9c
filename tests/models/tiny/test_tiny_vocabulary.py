"""The tokenizer in the model folder and the ids of the training code are the same thing."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dsb.benchmarks.synth.question import Question
from dsb.benchmarks.synth.questions import TASKS, ask
from dsb.benchmarks.synth.world import make_stream
from dsb.models.tiny import vocabulary as v
from dsb.models.tiny.prompts import (
    CHOICE_BOILERPLATE,
    OPEN_BOILERPLATE,
    PREFIX,
    question_ids,
    with_boilerplate,
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return v.build_tokenizer()


def questions() -> list[Question]:
    """Questions of every task, open and multiple choice, and one about letters alone."""
    rng = random.Random(0)
    stream = make_stream(8, 120)
    drawn = [
        ask(stream, t, rng, task, multiple_choice=share, tries=50)
        for task in TASKS
        for share in (0.0, 1.0)
        for t in (50.0, 80.0, 110.0)
    ]
    drawn.append(ask(stream, 50.0, rng, letter=1.0))
    return [question for question in drawn if question]


def messages(question: Question, text: str) -> list[dict[str, Any]]:
    turns = [
        {"role": role, "content": content}
        for turn in question.history
        for role, content in zip(("user", "assistant"), turn, strict=True)
    ]
    turns.append({"role": "user", "content": text})
    first = {"type": "text", "text": turns[0]["content"]}
    turns[0]["content"] = [{"type": "video"}, first]
    return turns


def test_questions_use_only_known_words() -> None:
    """Except "has" in "has appeared 2 times", which the shipped weights know as an unknown word."""
    for question in questions():
        words = question.prompt.replace("has appeared", "appeared")
        assert v.UNKNOWN_ID not in v.encode(words), question.prompt
        assert v.UNKNOWN_ID not in v.encode(question.reply)


def test_the_chat_template_gives_the_ids_of_training(tokenizer: Any) -> None:
    for question in questions():
        text = tokenizer.apply_chat_template(
            messages(question, question.prompt), tokenize=False, add_generation_prompt=True
        )
        expected = [*PREFIX, v.VIDEO_PAD_ID, *question_ids(question)]
        assert tokenizer(text).input_ids == expected, text


def test_the_tokenizer_reads_boilerplate_like_the_training_code(tokenizer: Any) -> None:
    rng = random.Random(1)
    for question in questions():
        text = with_boilerplate(question, rng)
        assert tokenizer(text).input_ids == v.encode(text)
    for text in (*CHOICE_BOILERPLATE, *OPEN_BOILERPLATE, "(A) red!", "été 12-3 ab-cd-EF"):
        assert tokenizer(text).input_ids == v.encode(text)


def test_punctuation_and_white_space_do_not_matter() -> None:
    assert v.encode("A. red") == v.encode("(A)  red") == [v.VOCABULARY["A"], v.VOCABULARY["red"]]


def test_an_unknown_word_becomes_the_unknown_token() -> None:
    assert v.encode("a zebra") == [v.VOCABULARY["a"], v.UNKNOWN_ID]


def test_decoding_gives_the_words_back(tokenizer: Any) -> None:
    ids = v.encode("top-left")
    assert v.decode(ids) == tokenizer.decode(ids).strip() == "top-left"


def test_the_vocabulary_leaves_the_two_empty_rows_free() -> None:
    assert len(v.VOCABULARY) <= v.NO_KIND_ID
    assert set(v.VOCABULARY.values()) == set(range(len(v.VOCABULARY)))
