"""Slots of a KV arena."""

from collections.abc import Sequence
from typing import final

@final
class SlotLedger:
    """Who holds which slot of a KV arena. Live slots are always `0..used`, so attention needs no validity mask.

    An *owner* is a frame id, a question, ...: any non-negative integer. Sinks are never evicted. A call that raises
    has changed nothing.
    """
    def __new__(cls, capacity: int) -> SlotLedger: ...
    @property
    def capacity(self) -> int: ...
    @property
    def used(self) -> int: ...
    def append(self, owner: int, slots: int, *, sink: bool = False) -> tuple[int, int]:
        """Give `slots` slots at the tail to `owner`; returns `(start, stop)`.

        All slots of an owner are sinks or none is. Raises `LedgerError` if that is violated or there is no room.
        An owner that gets 0 slots is not remembered.
        """
    def mark(self) -> int:
        """A point to return to with `rollback`."""
    def rollback(self, mark: int) -> None:
        """Forget everything appended since `mark`; a mark may be returned to any number of times.

        Raises `LedgerError` if slots before it were evicted or rolled back since.
        """
    def evict(self, owners: Sequence[int]) -> list[tuple[int, int]]:
        """Drop these owners; returns the moves `(source, destination)` that keep the live slots dense.

        Every destination is below the new `used`, every source at or above it; both ascend, and each slot moves at
        most once. Raises `LedgerError` if an owner holds no slots or is a sink.
        """
    def slots(self, owner: int) -> list[int]:
        """Slots of `owner` in the order in which it got them (empty if it holds none)."""
    def owners(self) -> list[int]:
        """Owners in the order of their first append, sinks included."""
    def visible(self, owners: Sequence[int]) -> list[int]:
        """Ascending slots of the sinks and of these owners; an owner that holds none adds none."""
