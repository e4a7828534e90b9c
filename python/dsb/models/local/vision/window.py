"""Which temporal patches a window holds.

Temporal patch k is frames `k * span .. (k + 1) * span - 1` of the stream, for every window. A patch whose first
frame lies outside a window is outside altogether; a newest frame without its partner is a *provisional* patch
that repeats it. So the same frames give the same tokens whether they are encoded once or for every question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from dsb.models.local.vision.patch import EncodedPatch
from dsb.stream.window import NS_PER_S

if TYPE_CHECKING:
    from dsb._core import Window, WindowSpec
    from dsb.stream.view import StreamView


@dataclass(frozen=True)
class PatchRange:
    """Complete patches `[first, stop)` and a lone newest frame behind them, if any."""

    first: int
    stop: int
    lone: int | None

    @classmethod
    def of(cls, start: int, stop: int, span: int) -> PatchRange:
        """The patches in frames `[start, stop)`, which must not be empty."""
        first, last = -(-start // span), stop // span
        lone = stop - 1 if stop % span or last <= first else None
        return cls(first, max(first, last), lone)

    @property
    def count(self) -> int:
        """Patches, the provisional one included."""
        return self.stop - self.first + (self.lone is not None)

    def frames(self, span: int) -> tuple[int, int]:
        """Ids of the first and last frame."""
        first = self.first * span if self.stop > self.first or self.lone is None else self.lone
        return first, self.stop * span - 1 if self.lone is None else self.lone


@dataclass(frozen=True)
class WindowExtent:
    """Which patches a window holds, before they are fetched."""

    patches: PatchRange
    #: Stream time of the last frame.
    visible_until_ns: int


@dataclass(frozen=True)
class WindowPatches:
    """The encoded patches of one window."""

    patches: Sequence[EncodedPatch]
    #: The newest frame where it has no partner yet.
    lone: EncodedPatch | None
    #: First and last frame id.
    frames: tuple[int, int]
    #: Stream time of the last frame.
    visible_until_ns: int


class PatchSource(Protocol):
    """How a conversation gets the temporal patches of a window."""

    def observe(self, window: Window) -> None:
        """New frames came on screen."""

    def fetch(self, spec: WindowSpec, view: StreamView) -> WindowPatches | None:
        """The patches of what `spec` selects at the time of `view`; `None` when no frame is visible."""

    @property
    def processed_through(self) -> int | None:
        """The last frame that is in a complete, encoded patch."""

    @property
    def reads_pixels(self) -> bool:
        """Whether the frames of a window must still be there when it is asked about."""


def patches_needed(spec: WindowSpec, fps: Fraction, span: int) -> int:
    """The most patches that a window can hold at this sampling rate."""
    frames = spec.max_frames
    if spec.span_ns is not None:
        frames = min(frames, int(spec.span_ns * fps / NS_PER_S) + 1)
    return -(-frames // span)
