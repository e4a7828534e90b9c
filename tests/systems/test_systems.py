"""Systems: prompts, structured answers with one repair, and how sure an answer is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from dsb.config.schema import SystemConfig
from dsb.errors import AnswerFormatError, ConfigError
from dsb.memory.dialogue import record_of_exchange
from dsb.memory.encoder import HashEncoder
from dsb.memory.store import LongTermMemory
from dsb.models.backend import (
    Abilities,
    Message,
    Receipt,
    Reply,
    Request,
    Timing,
    Turn,
    Usage,
)
from dsb.models.certainty import certainty_of_reply, certainty_of_turn
from dsb.systems.prompt import messages, question_text
from dsb.systems.question import Question
from dsb.systems.structured import StructuredAnswer, parse_structured
from dsb.systems.system import System

VIEW: Any = None  # none of these tests looks at a frame
COLOR = Question("q1", 5_000_000_000, "What color is it?", ("red", "blue"))


def reply(text: str, **changes: Any) -> Reply:
    fields: dict[str, Any] = {
        "text": text,
        "candidate_logprobs": None,
        "token_logprobs": None,
        "usage": Usage(),
        "timing": Timing(),
        "finish": "stop",
        "frames": None,
        "visible_until_ns": None,
        "input_hash": "0",
    }
    return Reply(**{**fields, **changes})


@dataclass
class ScriptedConversation:
    """Says prepared texts: no model small enough for a test writes JSON."""

    texts: list[str]
    asked: list[Request] = field(default_factory=list)
    abilities = Abilities("fork", logprobs=False, needs_window=False, receipt="none")

    def observe(self, window: object) -> Receipt:
        return Receipt(None, None)

    def ask(self, request: Request) -> Reply:
        self.asked.append(request)
        return reply(self.texts[len(self.asked) - 1])

    def ask_many(self, requests: Sequence[Request]) -> list[Reply]:
        return [self.ask(request) for request in requests]

    def watch(self, request: Request) -> None:
        self.asked.append(request)

    def turn(self, tick_ns: int, view: object, queries: Sequence[str]) -> list[Turn]:
        return []

    def close(self) -> None:
        pass


def structured_system(*texts: str) -> tuple[System, ScriptedConversation]:
    conversation = ScriptedConversation(list(texts))
    return System("s1", SystemConfig(answering="structured"), conversation), conversation


def test_options_stand_under_the_question_with_their_letters() -> None:
    assert question_text("{question}{options}", COLOR) == "What color is it?\nA. red\nB. blue"


def test_a_prompt_with_an_unknown_field_is_a_config_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="frames"):
        question_text("{frames}{question}", COLOR)


def test_the_dialogue_stands_before_the_question() -> None:
    history = (Message("user", "Which shape?"), Message("assistant", "star"))
    assert messages("What color was it?", history, 4) == (
        *history,
        Message("user", "What color was it?"),
    )


def test_a_structured_answer_is_parsed() -> None:
    system, _ = structured_system('{"answer": "red", "confidence": 0.75, "need_s2": true}')
    answer = system.answer(COLOR, VIEW)
    assert (answer.text, answer.certainty.confidence, answer.need_s2) == ("red", 0.75, True)
    assert [call.purpose for call in answer.calls] == ["answer"]


def test_an_unreadable_structured_answer_gets_one_repair_attempt_that_says_what_was_wrong() -> None:
    system, conversation = structured_system("red!", '```json\n{"answer": 3, "confidence": 1}\n```')
    answer = system.answer(COLOR, VIEW)
    assert answer.text == "3"
    assert [call.purpose for call in answer.calls] == ["answer", "repair"]
    assert conversation.asked[1].messages[-2] == Message("assistant", "red!")
    assert "not JSON" in conversation.asked[1].messages[-1].text


def test_two_unreadable_structured_answers_are_an_error_and_never_an_answer() -> None:
    system, conversation = structured_system("red", "still red", "never asked")
    with pytest.raises(AnswerFormatError, match="q1"):
        system.answer(COLOR, VIEW)
    assert len(conversation.asked) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"answer": "red"}', "confidence"),
        ('{"answer": "red", "confidence": 1.5}', "confidence"),
        ('{"answer": "red", "confidence": "high"}', "confidence"),
        ('{"answer": "red", "confidence": 1, "extra": 1}', "extra"),
        ('Sure: {"answer": "red", "confidence": 1}', "not JSON"),
        ("[]", "value"),
    ],
)
def test_structured_parsing_is_strict(text: str, problem: str) -> None:
    parsed = parse_structured(text)
    assert isinstance(parsed, str)
    assert problem in parsed


def test_a_boolean_structured_answer_is_yes_or_no() -> None:
    assert parse_structured('{"answer": true, "confidence": 1}') == StructuredAnswer(
        "yes", 1.0, False
    )


def test_generated_text_is_as_sure_as_its_least_likely_token() -> None:
    sure = certainty_of_reply(reply("x", token_logprobs=(math.log(0.9), math.log(0.5), 0.0)))
    assert sure.confidence == pytest.approx(0.5)


def test_candidates_give_confidence_margin_and_entropy() -> None:
    sure = certainty_of_reply(reply("A", candidate_logprobs=(math.log(0.75), math.log(0.25))))
    assert sure.confidence == pytest.approx(0.75)
    assert sure.margin == pytest.approx(0.5)
    assert sure.entropy == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_a_reply_without_probabilities_has_no_confidence() -> None:
    assert certainty_of_reply(reply("x")).confidence is None


def test_a_tick_is_as_sure_as_its_likelier_decision() -> None:
    turn = Turn("q", 0, "silent", 0.2, "", None, None)
    assert certainty_of_turn(turn).confidence == pytest.approx(0.8)


def test_likelihood_answers_choose_among_letters_or_the_named_space() -> None:
    conversation = ScriptedConversation(["A", "red"])
    system = System("s1", SystemConfig(answering="likelihood"), conversation)
    system.answer(COLOR, VIEW)
    system.answer(Question("q2", 0, "What color?", (), ("red", "blue")), VIEW)
    assert [request.candidates for request in conversation.asked] == [("A", "B"), ("red", "blue")]


def test_s2_reads_only_memory_that_is_visible_at_the_question() -> None:
    memory = LongTermMemory("v", HashEncoder())
    memory.write(record_of_exchange("v", "a", "Where is the ring?", "top-left", 4_000_000_000, 0))
    memory.write(record_of_exchange("v", "b", "Where is the ring?", "gone", 6_000_000_000, 0))
    conversation = ScriptedConversation(["x"])
    config = SystemConfig(retrieve=5, prompt="{memory}{question}")
    System("s2", config, conversation, memory=memory).answer(COLOR, VIEW)
    assert conversation.asked[0].messages[-1].text == (
        "[4.0 s] Where is the ring? top-left\nWhat color is it?"
    )
