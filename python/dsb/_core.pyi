"""The streaming core, written in Rust: rings, decoding, windows, scheduling, slot ledger, simulation, resampling.

Times are integer nanoseconds. `*_ns` of a frame, window, event or clock is *stream time*, counted from the
start of the video. A *frame id* counts the delivered frames of one source from 0 and is never re-used.
Classes are immutable handles on shared state and safe to use from several threads; every call that waits
releases the interpreter and honours Ctrl-C.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Literal, final

from typing_extensions import Buffer  # in collections.abc from Python 3.12 on

__version__: str

def is_debug_build() -> bool:
    """Whether the core was compiled without optimisation; benchmarks of such a build mean nothing."""

@final
class WindowSpec:
    """Which frames a system may look at for a query at t.

    The newest `max_frames` of the frames that were on screen at t, t - 1/rate, t - 2/rate, ... within
    `(t - span_ns, t]`. `rate` is a fraction of frames per second, `None` takes every delivered frame;
    `span_ns=None` reaches back to the start.
    """
    def __new__(
        cls,
        *,
        max_frames: int,
        span_ns: int | None = None,
        rate: tuple[int, int] | None = None,
    ) -> WindowSpec: ...
    @property
    def max_frames(self) -> int: ...
    @property
    def span_ns(self) -> int | None: ...
    @property
    def rate(self) -> tuple[int, int] | None: ...

def select(spec: WindowSpec, pts_ns: Sequence[int], t_ns: int) -> list[int]:
    """Positions in `pts_ns` (strictly increasing) that `spec` selects at `t_ns`, oldest first."""

@final
class Window:
    """A read-only lease on records of a ring; nothing is copied and nothing can overwrite them while it lives.

    A window of frames exports a buffer `(T, H, W, 3) uint8`; a window of embeddings `(T, record_bytes) uint8`.
    `numpy.asarray(window)` copies nothing. Consumers that need contiguous bytes (`numpy.frombuffer`, `hashlib`,
    `torch.frombuffer`) get `BufferError` from a window that is not `contiguous`. Records without a common distance,
    which no strided array can show, are copied once, when the window is made.
    """
    @property
    def ids(self) -> tuple[int, ...]: ...
    @property
    def pts_ns(self) -> tuple[int, ...]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def contiguous(self) -> bool: ...
    def digests(self) -> list[str]:
        """BLAKE3 of each record, 32 lower-case hex digits (the first 16 bytes)."""
    def release(self) -> None:
        """Give the records back now. Raises `BufferError` while an array still looks at them."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __enter__(self) -> Window: ...
    def __exit__(self, *exc: object) -> None:
        """`release`; after a failure inside the block without complaint about arrays that are left."""

@final
class RingStats:
    """Counters since the ring was made."""
    @property
    def pushed(self) -> int: ...
    @property
    def evicted(self) -> int: ...
    @property
    def dropped(self) -> int:
        """Incoming records that were thrown away because a lease pinned the oldest one."""
    @property
    def pinned(self) -> int:
        """Records that leases pin now."""

@final
class FrameRing:
    """The newest frames of a source. Ids `[oldest, newest)` are live."""
    @property
    def capacity(self) -> int:
        """Frames it holds, at least as many as asked for (whole memory pages)."""
    @property
    def oldest(self) -> int: ...
    @property
    def newest(self) -> int: ...
    @property
    def finished(self) -> bool:
        """No further frame will come."""
    def wait(self, frame: int, timeout_s: float | None = None) -> bool:
        """Until `frame` is published (True) or the source ended before it (False).

        Raises the source's error if it failed, `RingFull` if the source waits for `release_before` and so `frame`
        cannot come, `TimeoutError` after `timeout_s` of wall time.
        """
    def wait_until(self, t_ns: int, timeout_s: float | None = None) -> int:
        """Until every frame with `pts <= t_ns` is published; returns the number of frames with `pts <= t_ns`.

        That is known only when a later frame or the end has been seen. Raises what `wait` does, and `FrameEvicted`
        if the number is forgotten, because the frames around `t_ns` have long been given back or overwritten.
        """
    def published_until(self, t_ns: int) -> int:
        """Number of frames with `pts <= t_ns` that have been published by now, those that are gone included."""
    def window(self, start: int, stop: int, step: int = 1) -> Window:
        """Lease frames `start, start+step, ... < stop`. Raises `FrameEvicted`, `FrameNotReady`, `ValueError`."""
    def at(self, t_ns: int, spec: WindowSpec, stop: int | None = None) -> Window:
        """Lease what `spec` selects at `t_ns` among the live frames; never a frame with `pts > t_ns`, nor one with
        an id of `stop` or above.
        """
    def release_before(self, frame: int) -> None:
        """Allow the source to overwrite everything before `frame` (`overflow="block"`)."""
    def stats(self) -> RingStats: ...

@final
class EmbeddingRing:
    """A ring of fixed-size byte records, one per temporal patch, that the caller fills.

    Raises `RingMemoryError` if the system does not give its memory, like `FrameSource`.
    """
    def __new__(cls, *, record_bytes: int, capacity: int) -> EmbeddingRing: ...
    @property
    def capacity(self) -> int: ...
    @property
    def record_bytes(self) -> int: ...
    @property
    def oldest(self) -> int: ...
    @property
    def newest(self) -> int: ...
    def push(self, record: Buffer, pts_ns: int) -> int:
        """Copy one or more whole records in (C-contiguous); returns the id of the first.

        All of them carry `pts_ns`, which never decreases. The oldest records make room; raises `RingFull` when a
        lease pins one of those, and `RingForked` in a process that was forked from the ring's own.
        """
    def window(self, start: int, stop: int, step: int = 1) -> Window: ...
    def stats(self) -> RingStats: ...

@final
class PacketIndex:
    """What the sample tables of an MP4 or MOV file and the NAL headers of its packets tell.

    A file that is not understood is no error: it has an `obstacle`, and is decoded in full.
    """
    def __new__(cls, path: str | os.PathLike[str]) -> PacketIndex: ...
    @property
    def obstacle(self) -> str | None:
        """Name of what keeps packets from being left out: `container`, `codec`, `edit-list`, ..."""
    @property
    def reason(self) -> str | None:
        """The obstacle in words."""
    def prune(self, rate: tuple[int, int], *, start_us: int = 0, from_ns: int = 0) -> Pruning:
        """Leave out what no tick `k / rate >= from_ns` needs. The container starts at `start_us` microseconds of
        its own clock."""

@final
class Pruning:
    """A file of which only the packets that some ticks need are decoded, or why it is decoded in full."""
    @property
    def obstacle(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def url(self) -> str | None:
        """What ffmpeg opens, with the protocols concat, subfile and file, if `FrameSource` starts it."""
    @property
    def packets(self) -> int:
        """Packets of the video track, 0 with an obstacle."""
    @property
    def kept(self) -> int:
        """Packets that are decoded."""
    @property
    def bytes(self) -> int: ...
    @property
    def kept_bytes(self) -> int: ...

@final
class FrameSource:
    """A decoder child process that fills a ring of frames.

    `argv` must make it write one rawvideo rgb24 stream in NUT to its standard output. `strict` stops at the
    first error that the decoder reports on standard error; otherwise errors are counted. `name` is what error
    messages call the source. `capacity` is in frames. With `overflow="block"` the decoder waits until
    `release_before` makes room, with `"drop-oldest"` the oldest frame is overwritten, or the incoming one thrown
    away if a lease pins the oldest. The constructor waits for the first frame: a source without any is refused.
    `stdin` lets the decoder read our standard input.

    With `live` stream time runs with the wall clock (`now_ns`). If `reconnect_s` is a number, such a source has no
    end of its own: whenever its decoder ends, it is started again after growing pauses, for `reconnect_s` seconds
    of wall time at most; the ring stays, and stream time goes on during the outage.

    `pruned` is a cheaper way to the same frames: arguments that read `Pruning.url`. At that decoder's first
    complaint the one of `argv` takes over where it stopped.

    Raises `DecoderNotFound`, `SourceError` (no such file, not a video, no video stream, ...), `DecodeError`,
    `ProtocolError`, `RingMemoryError`.
    """
    def __new__(
        cls,
        argv: Sequence[str],
        *,
        name: str,
        capacity: int = 64,
        overflow: Literal["block", "drop-oldest"] = "block",
        strict: bool = True,
        pruned: tuple[Sequence[str], Pruning] | None = None,
        stdin: bool = False,
        live: bool = False,
        reconnect_s: float | None = None,
    ) -> FrameSource: ...
    @property
    def frames(self) -> FrameRing: ...
    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
    @property
    def time_base(self) -> tuple[int, int]: ...
    @property
    def now_ns(self) -> int:
        """Stream time now, of a live source: the time stamp that the fastest frame so far, the one with the
        smallest difference between arrival and time stamp, would have if it arrived now. `ValueError` for other
        sources.
        """
    @property
    def outage(self) -> tuple[int, int, str] | None:
        """The present outage of a live source: time stamp of the last frame before it, attempts to connect so far,
        reason; `None` while frames come.
        """
    @property
    def gaps(self) -> list[tuple[int, int, int, str]]:
        """Outages of a live source that are over: time stamp of the last frame before and of the first one after,
        attempts to connect, reason.
        """
    def mark_shown(self, pts_ns: Sequence[int]) -> None:
        """The frames of a live source with these time stamps stand in a window now, for the first time."""
    def delay_ns(self, q: float) -> tuple[int, int | None] | None:
        """The `q`-quantile of how much later than the fastest one the frames of a live source came into the ring,
        and into their first window (`None` if no window was marked); `None` before the first frame.
        """
    @property
    def decode_errors(self) -> int:
        """Errors that the decoder reported so far."""
    @property
    def stderr(self) -> str:
        """The last lines that the decoder wrote."""
    @property
    def pruned(self) -> bool:
        """Whether frames come from the decoder that reads only the packets that are needed."""
    @property
    def pid(self) -> int: ...
    @property
    def decode_wall_ns(self) -> int:
        """Wall time from the start of the child until its end, or until now."""
    @property
    def decode_cpu_ns(self) -> int:
        """User + system CPU time of the child, known once it has been reaped (0 before)."""
    def close(self) -> None:
        """Kill and reap the decoder; windows stay valid."""
    def __enter__(self) -> FrameSource: ...
    def __exit__(self, *exc: object) -> None: ...

# -- scheduling -------------------------------------------------------------------------------

@final
class Event:
    """One step of a session; events are totally ordered by `(t_ns, kind, key)`, kinds in the order listed.

    * `frames`: frames `[start, stop)` have come on screen, the last of them at `t_ns`.
    * `prefill`: frames `[start, stop)` form the next chunk to prefill; chunks partition all frames.
    * `poll`: standing instruction `key` has its `index`-th tick.
    * `query`: query `key` is asked.
    * `end`: nothing follows.

    A field that a kind does not have is 0.
    """
    @property
    def kind(self) -> Literal["frames", "prefill", "poll", "query", "end"]: ...
    @property
    def t_ns(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def key(self) -> int: ...
    @property
    def index(self) -> int: ...

@final
class Scheduler:
    """The events of one session in stream-time order.

    `frame_rate` is the sampling rate (frames per second as a fraction): frame i is on screen from `i / rate`.
    `queries` are `(t_ns, key)`; `polls` are `(key, start_ns, stop_ns, (period numerator, denominator) in seconds)`:
    ticks at `start + k * period < stop`, computed without drift. `end_ns` is the last moment that matters; frames
    after it are never asked for. A `frames` event never holds more than `max_frames` frames. `prefill_stride` is in
    frames; `prefill` events come when a whole chunk is on screen, the last one may be shorter: it comes with the last
    frame that is on screen by `end_ns`. Times are rounded up to whole nanoseconds.

    Raises `ValueError` for a query outside `[0, end_ns]`, the same `(t_ns, key)` twice, two polls with one key, a
    poll that starts before 0, and fractions that are not positive or do not fit 32 bits in lowest terms. Ticks
    after `end_ns` do not come.
    """
    def __new__(
        cls,
        *,
        frame_rate: tuple[int, int],
        end_ns: int,
        queries: Sequence[tuple[int, int]] = (),
        polls: Sequence[tuple[int, int, int, tuple[int, int]]] = (),
        prefill_stride: int = 1,
        max_frames: int = 64,
    ) -> Scheduler: ...
    def __iter__(self) -> Iterator[Event]: ...
    def __next__(self) -> Event: ...

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

# -- KV slots ---------------------------------------------------------------------------------

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

# -- simulation -------------------------------------------------------------------------------

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

# -- statistics -------------------------------------------------------------------------------

@final
class Interval:
    """A point estimate with its bootstrap interval. One cluster alone gives an interval of width 0."""
    @property
    def value(self) -> float:
        """The statistic of the items themselves."""
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def standard_error(self) -> float:
        """Standard deviation of the replicates."""

@final
class Curve:
    """A bootstrapped curve."""
    @property
    def points(self) -> list[Interval]:
        """At each point its own interval."""
    @property
    def band(self) -> list[tuple[float, float]]:
        """The ends of a band that holds the whole curve with the given level.

        `value -+ c * standard_error`, with the quantile c of the largest standardised deviation over the points
        ("sup-t", Montiel Olea & Plagborg-Moller 2019).
        """
    def __len__(self) -> int: ...

def bootstrap_ratio(
    numerators: Buffer | Sequence[float],
    denominators: Buffer | Sequence[float],
    clusters: Buffer | Sequence[int],
    *,
    replicates: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    method: Literal["percentile", "bca"] = "percentile",
) -> Interval:
    """Interval of `sum(numerators) / sum(denominators)`, whole clusters resampled with replacement.

    A mean has denominators of 1; F1 is `2 * hits / (emitted + targets)`. Replicates whose denominator is 0 are
    left out. `"bca"` corrects the tails for bias and skewness (Efron 1987; the acceleration from the jackknife over
    clusters). Counter-based random numbers: the same seed gives the same replicates everywhere.

    Arrays of float64 and int64 are copied at once, other sequences number by number.

    Raises `ValueError` if there are no items, lengths differ, a number is not finite, a denominator is negative, all
    of them are 0, or `level` is not inside (0, 1). The functions below do too.
    """

def bootstrap_difference(
    a: tuple[Buffer | Sequence[float], Buffer | Sequence[float]],
    b: tuple[Buffer | Sequence[float], Buffer | Sequence[float]],
    clusters: Buffer | Sequence[int],
    *,
    replicates: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    method: Literal["percentile", "bca"] = "percentile",
) -> Interval:
    """The same for `ratio(a) - ratio(b)`, paired by item: `a` and `b` are (numerators, denominators)."""

def bootstrap_quantile(
    values: Buffer | Sequence[float],
    clusters: Buffer | Sequence[int],
    q: float,
    *,
    replicates: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the `q`-quantile of `values` (linear interpolation), whole clusters resampled.

    There is no BCa interval: the jackknife fails for quantiles (Efron 1979).
    """

def bootstrap_curve(
    a: Sequence[tuple[Buffer | Sequence[float], Buffer | Sequence[float]]],
    clusters: Buffer | Sequence[int],
    *,
    b: Sequence[tuple[Buffer | Sequence[float], Buffer | Sequence[float]]] | None = None,
    replicates: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    method: Literal["percentile", "bca"] = "percentile",
) -> Curve:
    """A ratio per point, `a[p]` being its (numerators, denominators), all over the same draws of clusters.

    With `b`, the difference `ratio(a[p]) - ratio(b[p])` per point, paired by item. Each point alone is what
    `bootstrap_ratio` or `bootstrap_difference` gives for the same seed.
    """

def sign_flip(
    differences: Buffer | Sequence[float],
    clusters: Buffer | Sequence[int],
    *,
    permutations: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value that the mean difference is 0, signs flipped per cluster.

    Exact when `2**clusters <= permutations`. Otherwise signs are random and the observed ones count as one more
    permutation, so that no p-value is 0 (Phipson & Smyth 2010).
    """

def swap_test(
    a: Sequence[tuple[Buffer | Sequence[float], Buffer | Sequence[float]]],
    b: Sequence[tuple[Buffer | Sequence[float], Buffer | Sequence[float]]],
    clusters: Buffer | Sequence[int],
    *,
    permutations: int = 10_000,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """`(p-value, adjusted p-value)` at each point: are the ratios `a[p]` and `b[p]` equal?

    The sign-flip test for ratios and curves: under the hypothesis, the two sides of a cluster may change places. The
    adjusted value holds the chance of any false alarm to the level (single-step max-T, Westfall & Young 1993). A
    permutation that leaves a denominator of 0 counts as extreme. Exact and random as `sign_flip`.
    """
