"""How busy S2 would be under each router, on the stream clock."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

from dsb.routing.router import Load
from dsb.stream.window import NS_PER_S


class S2Queue:
    """S2 with one slot, first come first served, busy with what one router has sent to it.

    An approximation that is there while the session plays; exact queues with several slots, speeds
    and deadlines are simulated from the log afterwards.
    """

    def __init__(self) -> None:
        #: When each query is answered, in nanoseconds of stream time; ascending.
        self._answered_ns: list[int] = []

    def load(self, t_ns: int) -> Load:
        """As it is at stream time `t_ns`."""
        del self._answered_ns[: bisect_right(self._answered_ns, t_ns)]
        if not self._answered_ns:
            return Load()
        return Load(len(self._answered_ns), (self._answered_ns[-1] - t_ns) / NS_PER_S)

    def send(self, t_ns: int, service_ns: int) -> None:
        """A query arrives at stream time `t_ns` and takes `service_ns` of wall time."""
        begins_ns = max([t_ns, *self._answered_ns[-1:]])
        self._answered_ns.append(begins_ns + service_ns)


class S2Queues:
    """One queue per router: each is judged by the load that it causes itself."""

    def __init__(self) -> None:
        self._of: defaultdict[str, S2Queue] = defaultdict(S2Queue)

    def of(self, router: str) -> S2Queue:
        """The queue of the router of this label."""
        return self._of[router]
