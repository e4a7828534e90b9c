"""Windows of frames: what they may hold, and the lease on them."""

from collections.abc import Sequence
from typing import final

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
    def digests(self) -> tuple[str, ...]:
        """BLAKE3 of each record, 32 lower-case hex digits (the first 16 bytes).

        Computed by the first call; later ones return the same tuple, also after `release`. Raises `ValueError` if
        the window was released before the first.
        """
    def release(self) -> None:
        """Give the records back now. Raises `BufferError` while an array still looks at them."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __enter__(self) -> Window: ...
    def __exit__(self, *exc: object) -> None:
        """`release`; after a failure inside the block without complaint about arrays that are left."""
