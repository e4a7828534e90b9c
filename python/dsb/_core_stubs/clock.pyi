"""Clocks of stream time."""

from typing import final

@final
class VirtualClock:
    """Stream time that moves only when told to: deterministic, as fast as the machine allows."""
    def __new__(cls) -> VirtualClock: ...
    @property
    def now_ns(self) -> int: ...
    def sleep_until(self, t_ns: int) -> int:
        """Move to `t_ns` unless it is past; returns how late we are, in ns (0 if on time)."""
    def charge(self, duration_ns: int) -> None:
        """Let `duration_ns` of work pass on the stream clock."""

@final
class RealClock:
    """Stream time that runs with the wall clock at `speed` stream seconds per wall second, from 0 at construction."""
    def __new__(cls, speed: float = 1.0) -> RealClock: ...
    @property
    def now_ns(self) -> int: ...
    def sleep_until(self, t_ns: int) -> int:
        """Wait until `t_ns` unless it is past; returns how late the call was, in ns (0 if on time)."""
    def charge(self, duration_ns: int) -> None:
        """Nothing: the time that the work took has passed already."""
