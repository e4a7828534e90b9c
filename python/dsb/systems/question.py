"""One question as the systems see it: no gold answer, no task label."""

from __future__ import annotations

from dataclasses import dataclass

from dsb.models.backend import Message


@dataclass(frozen=True)
class Question:
    """What a system is asked at stream time `t_ns`."""

    #: Its name in the log: the id of its item.
    query: str
    t_ns: int
    text: str
    #: The options' texts, in the order of their letters; empty for an open question.
    options: tuple[str, ...] = ()
    #: Possible answers of an open question where the benchmark names them; empty otherwise.
    space: tuple[str, ...] = ()
    #: Earlier exchanges of the dialogue, oldest first.
    history: tuple[Message, ...] = ()
    #: Template of the benchmark's protocol in place of the system's own; `None` where it has none.
    prompt: str | None = None
