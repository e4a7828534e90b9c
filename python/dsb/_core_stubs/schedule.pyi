"""The events of a session."""

from collections.abc import Iterator, Sequence
from typing import Literal, final

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
