"""From frames to visual tokens: which temporal patches a window holds, and who encodes them when.

Temporal patch k is frames `k * span .. (k + 1) * span - 1` of the stream, for every window. A patch whose first
frame lies outside a window is outside altogether; a newest frame without its partner is a *provisional* patch
that repeats it. So the same frames give the same tokens whether they are encoded once or for every question.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dsb.models.backend import Counters
from dsb.models.local.families.family import Family
from dsb.models.local.vision.patch import EncodedPatch

if TYPE_CHECKING:
    from dsb._core import Window, WindowSpec
    from dsb.stream.view import StreamView

Pixels = NDArray[np.uint8]
NS_PER_S = 1_000_000_000


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
class Look:
    """The temporal patches of one window."""

    patches: Sequence[EncodedPatch]
    #: The newest frame where it has no partner yet.
    lone: EncodedPatch | None
    #: First and last frame id; `None` without frames.
    frames: tuple[int, int] | None
    #: Stream time of the last frame.
    visible_until_ns: int | None


class Encoder:
    """Encodes temporal patches for one session and counts them."""

    def __init__(self, family: Family, counters: Counters) -> None:
        self.family = family
        self._counters = counters

    def patch(self, number: int, pts_ns: Sequence[int], frames: Pixels) -> EncodedPatch:
        """Patch `number` from its frames (span, H, W, 3)."""
        values = self._encode(frames)
        self._counters.frames_encoded += len(frames)
        return EncodedPatch(number, mean_s(pts_ns), values)

    def provisional(self, number: int, pts_ns: int, frame: Pixels) -> EncodedPatch:
        """Patch `number` of which there is only the first frame (H, W, 3): it is repeated."""
        values = self._encode(np.repeat(frame[None], self.family.span, axis=0))
        self._counters.frames_provisional += 1
        return EncodedPatch(number, mean_s([pts_ns]), values)

    def _encode(self, frames: Pixels) -> Tensor:
        begun = time.perf_counter_ns()
        with torch.inference_mode():
            # The vision tower may be on another device than the text.
            values = self.family.encode(torch.tensor(frames)).to(self.family.device)
        if values.is_cuda:
            torch.cuda.synchronize(values.device)
        self._counters.encode_ns += time.perf_counter_ns() - begun
        return values


class Sight(Protocol):
    """How a conversation gets the temporal patches of a window."""

    def observe(self, window: Window) -> None:
        """New frames came on screen."""

    def look(self, spec: WindowSpec, view: StreamView) -> Look | None:
        """The patches of what `spec` selects at the time of `view`; `None` when no frame is visible."""

    @property
    def processed_through(self) -> int | None:
        """The last frame that is in a complete, encoded patch."""

    @property
    def reads_pixels(self) -> bool:
        """Whether the frames of a window must still be there when it is asked about."""


class EncodeEachTime:
    """`reuse: none`: every question encodes its whole window again."""

    processed_through: int | None = None
    reads_pixels = True

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def observe(self, window: Window) -> None:
        """Nothing is kept."""

    def look(self, spec: WindowSpec, view: StreamView) -> Look | None:
        """Encode what the window holds now."""
        span = self._encoder.family.span
        ids, pts_ns, pixels = self._copied(spec, view)
        if not ids:
            return None
        patches = PatchRange.of(ids[0], ids[-1] + 1, span)
        encoded = []
        for number in range(patches.first, patches.stop):
            own = slice(number * span - ids[0], (number + 1) * span - ids[0])
            encoded.append(self._encoder.patch(number, pts_ns[own], pixels[own]))
        lone = None
        if patches.lone is not None:
            lone = self._encoder.provisional(patches.lone // span, pts_ns[-1], pixels[-1])
        return Look(encoded, lone, patches.frames(span), pts_ns[-1])

    @staticmethod
    def _copied(spec: WindowSpec, view: StreamView) -> tuple[Sequence[int], Sequence[int], Pixels]:
        """Ids, times and a copy (as in `EncodeOnce.observe`) of the frames in the window."""
        if not view.visible:
            return (), (), np.empty((0, 0, 0, 3), np.uint8)
        with view.at(spec) as window:
            return window.ids, window.pts_ns, np.array(window)


class EncodeSampled(EncodeEachTime):
    """A window with a rate of its own, whose samples depend on when it is asked: nothing can be kept.

    Its patches are neighbours in the window, the oldest two first.
    """

    def look(self, spec: WindowSpec, view: StreamView) -> Look | None:
        """Encode what the window samples now."""
        span = self._encoder.family.span
        ids, pts_ns, pixels = self._copied(spec, view)
        if not ids:
            return None
        whole = len(ids) // span
        encoded = [
            self._encoder.patch(
                k, pts_ns[k * span : (k + 1) * span], pixels[k * span : (k + 1) * span]
            )
            for k in range(whole)
        ]
        lone = None
        if whole * span < len(ids):
            lone = self._encoder.provisional(whole, pts_ns[-1], pixels[-1])
        return Look(encoded, lone, (ids[0], ids[-1]), pts_ns[-1])


def patches_needed(spec: WindowSpec, fps: Fraction, span: int) -> int:
    """The most patches that a window can hold at this sampling rate."""
    frames = spec.max_frames
    if spec.span_ns is not None:
        frames = min(frames, int(spec.span_ns * fps / NS_PER_S) + 1)
    return -(-frames // span)


def mean_s(pts_ns: Sequence[int]) -> float:
    """Mean of times in nanoseconds, in seconds."""
    return sum(pts_ns) / len(pts_ns) / NS_PER_S
