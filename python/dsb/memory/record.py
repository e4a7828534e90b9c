"""What long-term memory holds and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["observation", "event", "ocr", "dialogue", "summary"]


@dataclass(frozen=True)
class MemoryRecord:
    """One remembered text of one stream. Times are nanoseconds of stream time."""

    id: str
    #: The session that it belongs to; a query sees only its own stream.
    stream: str
    kind: Kind
    text: str
    t_start_ns: int
    t_end_ns: int
    #: From here on a query may see it: the end of what it describes plus the writer's latency.
    t_visible_ns: int


@dataclass(frozen=True)
class Hit:
    """A retrieved record with its similarity (cosine, in [-1, 1])."""

    record: MemoryRecord
    score: float


@dataclass(frozen=True)
class Retrieval:
    """The answer of a memory: the best records that were visible, best first."""

    hits: tuple[Hit, ...]
    #: Records visible at the time of the query.
    visible: int
    #: Wall time.
    service_ns: int


class Memory(Protocol):
    """Long-term memory of one stream; causal by construction."""

    def write(self, record: MemoryRecord) -> None:
        """Add a record. `t_visible_ns` must not decrease from one write to the next."""

    def query(self, text: str, now_ns: int, k: int) -> Retrieval:
        """The `k` most similar records with `t_visible_ns <= now_ns`."""
