"""Queues before S1 and S2, simulated on measured service times."""

from collections.abc import Sequence
from typing import Literal, final

from typing_extensions import Buffer  # in collections.abc from Python 3.12 on

@final
class Simulator:
    """When would each answer have come? A trace of measured service times, simulated on a virtual clock.

    S1 is one server, first come first served. S2 serves `slots` queries at a time from one queue: `"fifo"`, `"edf"`
    (earliest deadline first) or `"priority"` (highest number first); ties by who joined the queue first, then by
    position. No service is preempted. Columns have one entry per query: arrays of int64 are copied at once, other
    sequences of integers one by one. Times are nanoseconds of the stream clock; `arrival_ns` ascends. A deadline is
    the last moment at which an answer is in time; `2**63 - 1` is none.

    `at_deadline` and `on_newer` say what is given up at its deadline, and when a query of the same `stream` arrives
    strictly later: nothing (`"never"`), what waits in a queue (`"waiting"`), or what is in service, too
    (`"running"`), which frees the server. An escalated query that is given up when S1 has its answer is answered with
    that, there and then. At one instant services end first (so an answer at the deadline is in time), then what is
    overdue is given up (so nothing starts at its deadline), then queries arrive, then free servers take the next.

    `sharing` slows services down that share a GPU. It is three tables of speeds in millionths of the measured speed:
    S1's while 0, 1, ... `slots` services of S2 run; that of each of S2's services while 1, 2, ... `slots` run and
    S1 is idle; the same while S1 is busy. A service of n ns is n ns of work; it ends at the first whole nanosecond at
    which the work is done. The arithmetic is exact.

    Raises `ValueError`, naming the field, for columns of different lengths, negative or descending times, a deadline
    before its arrival, a column that the rules need and lack, tables of a wrong length, and times beyond 2**63 ns.
    """
    def __new__(
        cls,
        *,
        arrival_ns: Buffer | Sequence[int],
        s1_service_ns: Buffer | Sequence[int],
        s2_service_ns: Buffer | Sequence[int],
        deadline_ns: Buffer | Sequence[int] | None = None,
        priority: Buffer | Sequence[int] | None = None,
        stream: Buffer | Sequence[int] | None = None,
        slots: int = 1,
        discipline: Literal["fifo", "edf", "priority"] = "fifo",
        at_deadline: Literal["never", "waiting", "running"] = "never",
        on_newer: Literal["never", "waiting", "running"] = "never",
        sharing: tuple[Sequence[int], Sequence[int], Sequence[int]] | None = None,
    ) -> Simulator: ...
    def run(self, route: Buffer | Sequence[int]) -> Simulation:
        """What becomes of the queries when a router decides `route` (uint8): 0 S1, 1 S2, 2 S1 and then S2.

        Other threads run meanwhile; Ctrl-C is served at the end (a million queries take well under a second).
        """

@final
class Simulation:
    """What became of each query, in the order of the trace. Columns are copies; `numpy.asarray` shares them."""
    @property
    def start_ns(self) -> memoryview:
        """int64: when the first service of the query began, -1 if none did."""
    @property
    def finish_ns(self) -> memoryview:
        """int64: when it left, answered or given up."""
    @property
    def waited_ns(self) -> memoryview:
        """int64: how long it waited in queues, S1's and S2's together."""
    @property
    def status(self) -> memoryview:
        """uint8: 0 answered by its deadline, 1 answered late, 2 given up for a newer query, 3 at its deadline."""
    @property
    def answered_by(self) -> memoryview:
        """uint8: 0 nobody, 1 S1, 2 S2."""
    @property
    def answered(self) -> int: ...
    @property
    def late(self) -> int: ...
    @property
    def cancelled(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def horizon_ns(self) -> int:
        """From the first arrival until the last query has left."""
    @property
    def services(self) -> tuple[int, int]:
        """Services that began at S1 and S2."""
    @property
    def busy_ns(self) -> tuple[int, int]:
        """Time in service at S1 and S2, summed over slots; services that were given up count, too."""
    @property
    def queued_ns(self) -> tuple[int, int]:
        """Time that queries waited for S1 and S2."""
    @property
    def utilisation(self) -> tuple[float, float]:
        """Mean share of the slots of S1 and S2 that is busy over the horizon."""
    @property
    def mean_queue(self) -> tuple[float, float]:
        """Mean number of queries that wait for S1 and S2 over the horizon."""
    def __len__(self) -> int: ...
