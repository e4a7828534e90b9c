"""From frames to visual tokens: the vision tower, counted and timed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dsb.models.backend import Counters
from dsb.models.local.families.family import Family
from dsb.models.local.vision.patch import EncodedPatch
from dsb.stream.window import NS_PER_S

Pixels = NDArray[np.uint8]


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


def mean_s(pts_ns: Sequence[int]) -> float:
    """Mean of times in nanoseconds, in seconds."""
    return sum(pts_ns) / len(pts_ns) / NS_PER_S
