"""From a question to the messages that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from dsb.errors import ConfigError
from dsb.memory.dialogue import last_exchanges
from dsb.memory.record import Hit
from dsb.models.backend import Message
from dsb.systems.question import Question

#: What `structured` answering adds to the question.
STRUCTURED_INSTRUCTION = (
    '\nReply with one JSON object and nothing else: {"answer": <your answer>, '
    '"confidence": <probability from 0 to 1 that it is right>, '
    '"need_s2": <true if a longer look back is needed, else false>}'
)

REPAIR_INSTRUCTION = (
    "That was not the JSON object asked for ({problem}). "
    'Reply again with {{"answer": ..., "confidence": ..., "need_s2": ...}} only.'
)


def letters(count: int) -> tuple[str, ...]:
    """The letters of `count` options."""
    return tuple(ascii_uppercase[:count])


def question_text(
    template: str, question: Question, hits: Sequence[Hit] = (), structured: bool = False
) -> str:
    """Fill `template` (`{question}`, `{options}`, `{memory}`).

    Raises `ConfigError` when the template names anything else.
    """
    options = "".join(
        f"\n{letter}. {text}"
        for letter, text in zip(letters(len(question.options)), question.options, strict=True)
    )
    memory = "".join(f"[{hit.record.t_start_ns / 1e9:.1f} s] {hit.record.text}\n" for hit in hits)
    try:
        text = template.format(question=question.text, options=options, memory=memory)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(
            f"prompt {template!r}: {error}; it may use {{question}}, {{options}} and {{memory}}, "
            "and a literal brace is written twice"
        ) from error
    return text + (STRUCTURED_INSTRUCTION if structured else "")


def messages(text: str, history: Sequence[Message], exchanges: int) -> tuple[Message, ...]:
    """The newest `exchanges` exchanges of the dialogue, then the question."""
    return (*last_exchanges(history, exchanges), Message("user", text))
