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

from dsb._core import EmbeddingRing, select
from dsb.errors import CausalityError, ModelError
from dsb.models.backend import Counters
from dsb.models.local.family import Family

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
class Seen:
    """What one question looks at."""

    #: (patches * tokens, width) on the model's device.
    embeds: Tensor
    patches: int
    #: First and last frame id; `None` without frames.
    frames: tuple[int, int] | None
    #: Stream time of the last frame.
    visible_until_ns: int | None


class Encoder:
    """Encodes temporal patches for one session and counts them."""

    def __init__(self, family: Family, counters: Counters) -> None:
        self.family = family
        self._counters = counters

    def patch(self, frames: Pixels) -> Tensor:
        """Embeddings (tokens, width) of (span, H, W, 3)."""
        embeds = self._encode(frames)
        self._counters.frames_encoded += len(frames)
        return embeds

    def provisional(self, frame: Pixels) -> Tensor:
        """Embeddings of a lone newest frame (H, W, 3), repeated to a whole patch."""
        embeds = self._encode(np.repeat(frame[None], self.family.span, axis=0))
        self._counters.frames_provisional += 1
        return embeds

    def _encode(self, frames: Pixels) -> Tensor:
        begun = time.perf_counter_ns()
        with torch.inference_mode():
            embeds = self.family.encode(torch.tensor(frames))
        if embeds.is_cuda:
            torch.cuda.synchronize(embeds.device)
        self._counters.encode_ns += time.perf_counter_ns() - begun
        return embeds


class Sight(Protocol):
    """How a conversation gets the visual tokens of a window."""

    def observe(self, window: Window) -> None:
        """New frames came on screen."""

    def look(self, spec: WindowSpec, view: StreamView) -> Seen | None:
        """The visual tokens of what `spec` selects at the time of `view`; `None` when no frame is visible."""

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

    def look(self, spec: WindowSpec, view: StreamView) -> Seen | None:
        """Encode what the window holds now."""
        span = self._encoder.family.span
        ids, pts_ns, pixels = self._copied(spec, view)
        if not ids:
            return None
        patches = PatchRange.of(ids[0], ids[-1] + 1, span)
        embeds = [
            self._encoder.patch(pixels[k * span - ids[0] : (k + 1) * span - ids[0]])
            for k in range(patches.first, patches.stop)
        ]
        if patches.lone is not None:
            embeds.append(self._encoder.provisional(pixels[-1]))
        return Seen(torch.cat(embeds), patches.count, patches.frames(span), pts_ns[-1])

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

    def look(self, spec: WindowSpec, view: StreamView) -> Seen | None:
        """Encode what the window samples now."""
        span = self._encoder.family.span
        ids, pts_ns, pixels = self._copied(spec, view)
        if not ids:
            return None
        whole = len(ids) // span * span
        embeds = [self._encoder.patch(pixels[k : k + span]) for k in range(0, whole, span)]
        if whole < len(ids):
            embeds.append(self._encoder.provisional(pixels[-1]))
        return Seen(torch.cat(embeds), len(embeds), (ids[0], ids[-1]), pts_ns[-1])


class EncodeOnce:
    """`reuse: embed`: each patch is encoded when its last frame comes, and kept as long as a window may hold it.

    One object serves all conversations of a session; a frame that it knows already is not encoded again.
    """

    reads_pixels = False

    def __init__(self, encoder: Encoder, tokens: int, *, holes: bool = False) -> None:
        """`tokens` per patch; `reserve` makes room for them. With `holes` frames may be missing."""
        self._encoder = encoder
        self._shape = (tokens, encoder.family.width)
        self._ring = self._make_ring(1)
        self._holes = holes
        #: Frames `[_start, _start + len(_pts_ns))` have been observed, `_first` is their first whole patch;
        #: record r of the ring is patch `_base + r`.
        self._start = 0
        self._first = 0
        self._base = 0
        self._pts_ns: list[int] = []
        self._open: list[Pixels] = []
        self._newest: Pixels | None = None
        self._provisional: tuple[int, Tensor] | None = None

    def reserve(self, patches: int) -> None:
        """Make room for a window of `patches`; part of opening a conversation.

        Raises:
            ModelError: patches have been encoded already, and some that the window needs may be gone.
        """
        if patches <= self._ring.capacity:
            return
        if self._ring.newest:
            raise ModelError(
                "a conversation with a longer window was opened after the session's first frames; open all "
                "conversations of a session before the first of them observes"
            )
        self._ring = self._make_ring(patches)

    def _make_ring(self, patches: int) -> EmbeddingRing:
        tokens = self._shape[0]
        size = record_bytes(self._encoder.family, tokens)
        return EmbeddingRing(record_bytes=size, capacity=patches)

    @property
    def _stop(self) -> int:
        return self._start + len(self._pts_ns)

    @property
    def processed_through(self) -> int | None:
        """The last frame of the last complete patch."""
        patches = self._base + self._ring.newest
        return patches * self._encoder.family.span - 1 if self._ring.newest else None

    def observe(self, window: Window) -> None:
        """Encode the patches that these frames complete.

        Where frames may be missing, windows begin after the missing ones.

        Raises:
            ModelError: frames are missing between these and the ones before.
        """
        ids, pts_ns = window.ids, window.pts_ns
        if not ids or ids[-1] < self._stop:
            return
        # Copies: a failure below must not keep the lease of the window alive in its traceback.
        pictures = [picture.copy() for picture in np.asarray(window)]
        span = self._encoder.family.span
        if not self._pts_ns:
            self._begin_at(ids[0], span)
        for frame, shown_ns, picture in zip(ids, pts_ns, pictures, strict=True):
            if frame < self._stop:
                continue
            if frame > self._stop and not self._holes:
                raise ModelError(
                    f"frames {self._stop} to {frame - 1} were not observed; hand over every frame in order"
                )
            if frame > self._stop:
                self._begin_at(frame, span)
            self._take(frame, shown_ns, picture, span)

    def _begin_at(self, frame: int, span: int) -> None:
        """Only windows over frames without a hole are kept."""
        self._start, self._pts_ns, self._open = frame, [], []
        self._first = -(-frame // span)
        self._base = self._first - self._ring.newest

    def _take(self, frame: int, shown_ns: int, picture: Pixels, span: int) -> None:
        # Nothing of this object changes before the encoder has succeeded.
        together = [*self._open, picture] if frame // span >= self._first else []
        if len(together) == span:
            embeds = self._encoder.patch(np.stack(together))
            self._ring.push(_bytes(embeds), shown_ns)
            together = []
        self._open = together
        self._newest = picture
        self._pts_ns.append(shown_ns)

    def look(self, spec: WindowSpec, view: StreamView) -> Seen | None:
        """Collect the patches of the window; a lone newest frame is encoded once for all who ask at this time.

        Raises:
            ModelError: frames on screen have not been observed.
            CausalityError: later frames have been observed and a lone frame's pixels are gone.
        """
        visible = view.visible
        if visible > self._stop:
            raise ModelError(
                f"frames {self._stop} to {visible - 1} are on screen at {view.t_ns / 1e9:.3f} s but were not observed"
            )
        shown = self._pts_ns[
            max(0, visible - self._start - spec.max_frames) : visible - self._start
        ]
        chosen = select(spec, shown, view.t_ns)
        if not chosen:
            return None
        span = self._encoder.family.span
        first = visible - len(shown) + chosen[0]
        patches = PatchRange.of(first, visible, span)
        lone = None if patches.lone is None else self._lone(patches.lone, view.t_ns)
        embeds = self._collect(patches, lone)
        return Seen(embeds, patches.count, patches.frames(span), shown[-1])

    def _lone(self, frame: int, t_ns: int) -> Tensor:
        if self._provisional is None or self._provisional[0] != frame:
            if frame != self._stop - 1 or self._newest is None:
                raise CausalityError(
                    f"a question at {t_ns / 1e9:.3f} s came after frame {self._stop - 1} had been observed; "
                    "ask in stream order"
                )
            self._provisional = frame, self._encoder.provisional(self._newest)
        return self._provisional[1]

    def _collect(self, patches: PatchRange, lone: Tensor | None) -> Tensor:
        tokens, width = self._shape
        embeds = torch.empty((patches.count, tokens, width), dtype=self._encoder.family.dtype)
        complete = patches.stop - patches.first
        if complete:
            records = embeds[:complete].view(torch.uint8).numpy().reshape(complete, -1)
            with self._ring.window(patches.first - self._base, patches.stop - self._base) as window:
                np.copyto(records, np.asarray(window))
        if lone is not None:
            embeds[complete:] = lone
        return embeds.reshape(-1, width).to(self._encoder.family.device)


def record_bytes(family: Family, tokens: int) -> int:
    """Memory of one encoded patch."""
    return tokens * family.width * family.dtype.itemsize


def patches_needed(spec: WindowSpec, fps: Fraction, span: int) -> int:
    """The most patches that a window can hold at this sampling rate."""
    frames = spec.max_frames
    if spec.span_ns is not None:
        frames = min(frames, int(spec.span_ns * fps / NS_PER_S) + 1)
    return -(-frames // span)


def _bytes(embeds: Tensor) -> memoryview:
    return embeds.cpu().contiguous().view(torch.uint8).numpy().data
