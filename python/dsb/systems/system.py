"""S1 and S2: a window, a prompt, a conversation with a backend and, for S2, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dsb.memory.record import Retrieval
    from dsb.models.backend import Reply, Turn
    from dsb.stream.view import StreamView
    from dsb.systems.question import Question


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
    #: Probability that the system gives to its answer, in [0, 1]; `None` if unknown.
    confidence: float | None
    #: Difference between the two likeliest candidates; `None` if unknown.
    margin: float | None
    #: Shannon entropy over the candidates in nats; `None` if unknown.
    entropy: float | None
    need_s2: bool
    calls: tuple[CallMade, ...]
    retrieval: Retrieval | None
    #: Wall time of everything behind the answer.
    service_ns: int


class System:
    """One system in one session. Made by `dsb.systems.build.open_systems`."""

    name: str

    def answer(self, question: Question, view: StreamView) -> SystemAnswer:
        """Answer from what was on screen up to `question.t_ns`.

        Raises `AnswerFormatError` when a structured answer stays unreadable after one repair, and whatever the
        backend raises.
        """
        raise NotImplementedError

    def watch(self, question: Question, view: StreamView) -> None:
        """Take a standing instruction, valid from `question.t_ns` on."""
        raise NotImplementedError

    def tick(self, tick_ns: int, view: StreamView, keys: Sequence[str]) -> list[Turn]:
        """The decisions of these standing instructions at a tick, in the order of `keys`."""
        raise NotImplementedError

    def close(self) -> None:
        """End the conversation."""
        raise NotImplementedError
