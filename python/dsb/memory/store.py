"""Long-term memory of one stream: exact search over the records that were visible at the time of the query.

Records come in the order in which they become visible, so what a query may see is a prefix: causality costs one
binary search. Exact search beats an approximate index up to about 1e5 records and is the only one that honours
the prefix cheaply.
"""

from __future__ import annotations

import time
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from dsb.errors import CausalityError
from dsb.memory.encoder import Encoder
from dsb.memory.record import Hit, MemoryRecord, Retrieval


class LongTermMemory:
    """The records of one stream with their vectors."""

    def __init__(self, stream: str, encoder: Encoder) -> None:
        self.stream = stream
        self._encoder = encoder
        self._records: list[MemoryRecord] = []
        self._visible_ns: list[int] = []
        self._vectors: NDArray[np.float32] = np.empty((16, encoder.dimension), np.float32)

    def __len__(self) -> int:
        return len(self._records)

    def write(self, record: MemoryRecord) -> None:
        """Add a record. Raises `CausalityError` for another stream's record or one that turns visible too early."""
        if record.stream != self.stream:
            raise CausalityError(
                f"memory of stream {self.stream!r} was given record {record.id!r} of {record.stream!r}"
            )
        if record.t_visible_ns < record.t_end_ns:
            raise CausalityError(
                f"memory record {record.id!r} would be visible at {record.t_visible_ns} ns, "
                f"before what it describes has ended ({record.t_end_ns} ns)"
            )
        if self._visible_ns and record.t_visible_ns < self._visible_ns[-1]:
            raise CausalityError(
                f"memory record {record.id!r} turns visible before its predecessor; write records in that order"
            )
        size = len(self._records)
        if size == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.empty_like(self._vectors)])
        self._vectors[size] = self._encoder.encode([record.text])[0]
        self._records.append(record)
        self._visible_ns.append(record.t_visible_ns)

    def query(self, text: str, now_ns: int, k: int) -> Retrieval:
        """The `k` most similar visible records, best first; of equals the newer first."""
        begun = time.perf_counter_ns()
        visible = bisect_right(self._visible_ns, now_ns)
        similarity = self._vectors[:visible] @ self._encoder.encode([text])[0]
        order = np.lexsort((-np.arange(visible), -similarity))[:k]
        hits = tuple(Hit(self._records[i], float(similarity[i])) for i in order)
        return Retrieval(hits, visible, time.perf_counter_ns() - begun)
