"""Short-term memory: the last exchanges of a dialogue, and how a finished one becomes a long-term record."""

from __future__ import annotations

from collections.abc import Sequence

from dsb.memory.record import Kind, MemoryRecord
from dsb.models.backend import Message


def last_exchanges(history: Sequence[Message], exchanges: int) -> tuple[Message, ...]:
    """The newest `exchanges` question-answer pairs of `history`, oldest first."""
    starts = [at for at, message in enumerate(history) if message.role == "user"]
    if exchanges == 0 or not starts:
        return ()
    return tuple(history[starts[-exchanges:][0] :])


def record_of_exchange(
    stream: str, query: str, question: str, answer: str, t_ns: int, service_ns: int
) -> MemoryRecord:
    """A question and its answer as a record that is visible once the answer is there."""
    return _record(stream, f"turn:{query}", "dialogue", f"{question} {answer}", t_ns, service_ns)


def record_of_observation(stream: str, note: str, t_ns: int, service_ns: int) -> MemoryRecord:
    """What S1 noted about the present as a record."""
    return _record(stream, f"observation:{t_ns}", "observation", note, t_ns, service_ns)


def _record(
    stream: str, identity: str, kind: Kind, text: str, t_ns: int, service_ns: int
) -> MemoryRecord:
    return MemoryRecord(identity, stream, kind, text, t_ns, t_ns, t_ns + service_ns)
