"""S1 and S2: a window, a prompt, a conversation with a backend and, for S2, memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from dsb.benchmarks.item import YES_NO
from dsb.config.schema import SystemConfig
from dsb.errors import AnswerFormatError
from dsb.memory.record import Memory, Retrieval
from dsb.models.backend import Conversation, Generation, Message, Receipt, Reply, Request, Turn
from dsb.models.certainty import Certainty, certainty_of_reply
from dsb.systems.prompt import REPAIR_INSTRUCTION, letters, messages, question_text
from dsb.systems.question import Question
from dsb.systems.structured import SCHEMA, StructuredAnswer, parse_structured

if TYPE_CHECKING:
    from dsb._core import Window
    from dsb.stream.view import StreamView


@dataclass(frozen=True)
class CallMade:
    """One call of the backend behind an answer."""

    purpose: Literal["answer", "repair"]
    candidates: tuple[str, ...]
    reply: Reply


@dataclass(frozen=True)
class SystemAnswer:
    """What a system says to one question and how sure it is."""

    text: str
    certainty: Certainty
    #: The system itself asks for S2.
    need_s2: bool
    calls: tuple[CallMade, ...]
    retrieval: Retrieval | None
    #: Wall time of everything behind the answer.
    service_ns: int


class System:
    """One system in one session. Made by `dsb.systems.build.open_systems`."""

    def __init__(
        self,
        name: str,
        config: SystemConfig,
        conversation: Conversation,
        *,
        memory: Memory | None = None,
        exchanges: int = 0,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.conversation = conversation
        self._config = config
        self._memory = memory if config.retrieve else None
        self._exchanges = exchanges
        self._generation = Generation(config.max_new_tokens, config.temperature, seed)

    def observe(self, window: Window) -> Receipt:
        """Hand new frames to the conversation, in order and without gaps."""
        return self.conversation.observe(window)

    def answer(self, question: Question, view: StreamView) -> SystemAnswer:
        """Answer from what was on screen up to `question.t_ns`.

        Raises `AnswerFormatError` when a structured answer stays unreadable after one repair, and whatever the
        backend raises.
        """
        begun = time.perf_counter_ns()
        retrieval = self._retrieve(question)
        request = self._request(question, view, retrieval)
        if self._config.answering == "structured":
            parsed, calls = self._structured(request)
            sure = Certainty(parsed.confidence)
            answer = SystemAnswer(parsed.text, sure, parsed.need_s2, calls, retrieval, 0)
        else:
            reply = self.conversation.ask(request)
            calls = (CallMade("answer", request.candidates, reply),)
            answer = SystemAnswer(reply.text, certainty_of_reply(reply), False, calls, retrieval, 0)
        return replace(answer, service_ns=time.perf_counter_ns() - begun)

    def watch(self, question: Question, view: StreamView) -> None:
        """Take a standing instruction, valid from `question.t_ns` on."""
        text = question_text(question.prompt or self._config.prompt, question)
        self.conversation.watch(
            Request(
                question.query,
                question.t_ns,
                messages(text, question.history, self._exchanges),
                view,
                YES_NO,
                self._generation,
            )
        )

    def tick(self, tick_ns: int, view: StreamView, queries: Sequence[str]) -> list[Turn]:
        """The decisions of these standing instructions at a tick, in the order of `queries`."""
        return self.conversation.turn(tick_ns, view, queries)

    def close(self) -> None:
        """End the conversation."""
        self.conversation.close()

    def _retrieve(self, question: Question) -> Retrieval | None:
        if self._memory is None:
            return None
        return self._memory.query(question.text, question.t_ns, self._config.retrieve)

    def _request(
        self, question: Question, view: StreamView, retrieval: Retrieval | None
    ) -> Request:
        structured = self._config.answering == "structured"
        text = question_text(
            question.prompt or self._config.prompt,
            question,
            retrieval.hits if retrieval else (),
            structured=structured,
        )
        candidates: tuple[str, ...] = ()
        if self._config.answering == "likelihood":
            candidates = letters(len(question.options)) or question.space
        return Request(
            question.query,
            question.t_ns,
            messages(text, question.history, self._exchanges),
            view,
            candidates,
            replace(self._generation, schema=SCHEMA) if structured else self._generation,
        )

    def _structured(self, request: Request) -> tuple[StructuredAnswer, tuple[CallMade, ...]]:
        first = self.conversation.ask(request)
        calls = [CallMade("answer", (), first)]
        parsed = parse_structured(first.text)
        if isinstance(parsed, str):
            repair = (
                Message("assistant", first.text),
                Message("user", REPAIR_INSTRUCTION.format(problem=parsed)),
            )
            second = self.conversation.ask(replace(request, messages=(*request.messages, *repair)))
            calls.append(CallMade("repair", (), second))
            parsed = parse_structured(second.text)
            if isinstance(parsed, str):
                remedy = "use `answering: text` or `likelihood` for this model"
                if second.finish == "length":
                    remedy = (
                        f"it was cut after system.{self.name}.max_new_tokens="
                        f"{self._config.max_new_tokens}, raise that (64 is enough for most answers)"
                    )
                raise AnswerFormatError(
                    f"{self.name} did not give a structured answer to {request.query!r}, also after one repair "
                    f"({parsed}): {second.text[:200]!r}; {remedy}"
                )
        return parsed, tuple(calls)
