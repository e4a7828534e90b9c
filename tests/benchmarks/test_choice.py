"""Answers are read from free text by rules, and never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb.benchmarks.build import find_protocol
from dsb.benchmarks.grading import Delivered
from dsb.benchmarks.item import Answer, Item
from dsb.benchmarks.scoring.choice import (
    extract_choice,
    extract_word,
    extract_yes_no,
    read_answer,
)

COLORS = ("red", "blue", "green", "yellow")
CELLS = ("top-left", "top-right", "bottom-left", "bottom-right")
NUMBERS = ("0", "1", "2", "3", "4")


@pytest.mark.parametrize(
    "text",
    [
        *("B", "b", " B\n", "(B)", "[B]", "B.", "B)", "B:", "**B**", "'B'", "B!"),
        *("B. blue", "B) blue", "(B) blue", "B blue", "B: Blue.", "B, because the star is blue"),
        *("Option B", "Answer: B", "The answer is B.", "The best answer is: (B)"),
        *("Best option: B", "The correct option is B: blue", "I think it is B", "It's B."),
        *("blue", "Blue.", "It is blue.", "The star was blue", "*blue*"),
        "First there was a red star, then a ring. Answer: B",
        "Option A can be excluded. The answer is B.",
    ],
)
def test_the_second_option_is_read(text: str) -> None:
    assert extract_choice(text, COLORS) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "?", "I", "E", "(F)", "E. blue"),
        *("A or B", "A, B", "A and C", "(B) blue (C) green", "The answer is A or B"),
        *("B. red", "A blue", "blue or green", "Red, not blue", "not blue", "It isn't blue"),
        *("neither red nor blue", "blueish", "I cannot tell", "The star has some color"),
    ],
)
def test_what_is_unclear_is_not_guessed(text: str) -> None:
    assert extract_choice(text, COLORS) is None


def test_an_article_is_not_the_letter_a() -> None:
    assert extract_choice("A blue star", COLORS) == 1
    assert extract_choice("A star", COLORS) is None


def test_an_option_inside_a_longer_option_is_not_meant() -> None:
    options = ("star", "red star", "ring")
    assert extract_choice("It was a red star.", options) == 1
    assert extract_choice("It was a star.", options) == 0


@given(st.sampled_from(range(4)), st.sampled_from(["{}", "({})", "{}.", "{})", "Answer: {}"]))
def test_every_letter_is_read_in_every_dress(index: int, dress: str) -> None:
    assert extract_choice(dress.format("ABCD"[index]), COLORS) == index


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    index = extract_choice(text, COLORS)
    assert index is None or 0 <= index < len(COLORS)
    assert extract_yes_no(text) in ("yes", "no", None)
    assert extract_word(text, CELLS) in (*CELLS, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("yes", "yes"), ("Yes.", "yes"), ("YES, it is", "yes"), ("**No**", "no")),
        *(("No, it is not", "no"), ("The answer is yes", "yes"), ("Answer: no", "no")),
        *(("yes and no", None), ("not yet", None), ("maybe", None), ("", None)),
        *(("I see no star", None), ("yesterday", None), ("nothing", None)),
    ],
)
def test_yes_and_no_are_read_from_the_first_word(text: str, expected: str | None) -> None:
    assert extract_yes_no(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("top-left", "top-left"), ("Top left.", "top-left"), ("in the top-left", "top-left")),
        *(("left", None), ("top-left or top-right", None), ("not top-left", None)),
    ],
)
def test_a_word_is_read_whatever_its_spelling(text: str, expected: str | None) -> None:
    assert extract_word(text, CELLS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2", "2"), ("two", "2"), ("It appeared 2 times.", "2"), ("10", None), ("2 or 3", None)],
)
def test_numbers_are_read_as_digits_or_words(text: str, expected: str | None) -> None:
    assert extract_word(text, NUMBERS) == expected


def test_grey_is_gray() -> None:
    assert extract_word("Grey", ("gray", "pink")) == "gray"


def item(**fields: object) -> Item:
    base = {"id": "i", "task": "clue", "source": "t", "category": "c", "video": "v.mp4"}
    return Item.model_validate({**base, "ask_time_s": 1.0, "question": "?", **fields})


def is_correct(item: Item, text: str) -> bool:
    benchmark, protocol = find_protocol("items", "default")
    return benchmark.grade(protocol, item, Delivered(text=text)).score == 1.0


def test_an_answer_is_read_in_the_format_of_its_item() -> None:
    choice = item(options=COLORS, answer=Answer(option=2, text="green"))
    assert (read_answer(choice, "C"), is_correct(choice, "C. green")) == ("green", True)
    yes_no = item(answer=Answer(text="no"), meta={"space": ["yes", "no"]})
    assert (read_answer(yes_no, "No, never"), is_correct(yes_no, "yes")) == ("no", False)
    word = item(answer=Answer(text="top-left"), meta={"space": list(CELLS)})
    assert is_correct(word, "It was in the top left corner")
    free = item(answer=Answer(text="A cup"))
    assert is_correct(free, "a cup.")


def test_an_unreadable_answer_is_wrong() -> None:
    assert not is_correct(item(options=COLORS, answer=Answer(option=0, text="red")), "A or B")


MARKS = ("+", "-", "×", "÷")
SIGNED = ("-5", "5", "0")


@pytest.mark.parametrize("right", range(len(MARKS)))
def test_options_without_words_are_told_apart(right: int) -> None:
    choice = item(options=MARKS, answer=Answer(option=right, text=MARKS[right]))
    assert [is_correct(choice, letter) for letter in "ABCD"] == [i == right for i in range(4)]
    assert [is_correct(choice, mark) for mark in MARKS] == [i == right for i in range(4)]
    assert not is_correct(choice, "")


def test_options_that_differ_in_a_mark_alone_are_told_apart() -> None:
    choice = item(options=SIGNED, answer=Answer(option=0, text="-5"))
    assert [is_correct(choice, text) for text in ("A", "-5", "B", "5")] == [
        True,
        True,
        False,
        False,
    ]
    assert extract_choice("it was 5 degrees", SIGNED) is None
    word = item(answer=Answer(text="-5"), meta={"space": list(SIGNED)})
    assert [is_correct(word, text) for text in ("-5", "5")] == [True, False]


def test_an_option_may_begin_like_a_lead_in() -> None:
    options = ("It is raining", "It is snowing")
    assert extract_choice("It is snowing.", options) == 1
    assert extract_choice("The answer is: it is snowing", options) == 1
    assert extract_word("It is raining", options) == "It is raining"
