"""Encoding when a question comes: `reuse: none`, and windows with a rate of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dsb.models.local.vision.encoder import Encoder, Pixels
from dsb.models.local.vision.window import PatchRange, WindowPatches

if TYPE_CHECKING:
    from dsb._core import Window, WindowSpec
    from dsb.stream.view import StreamView


class EncodeEachTime:
    """`reuse: none`: every question encodes its whole window again."""

    processed_through: int | None = None
    reads_pixels = True

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def observe(self, window: Window) -> None:
        """Nothing is kept."""

    def fetch(self, spec: WindowSpec, view: StreamView) -> WindowPatches | None:
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
        return WindowPatches(encoded, lone, patches.frames(span), pts_ns[-1])

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

    def fetch(self, spec: WindowSpec, view: StreamView) -> WindowPatches | None:
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
        return WindowPatches(encoded, lone, (ids[0], ids[-1]), pts_ns[-1])
