"""A temporal patch as the vision tower leaves it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class EncodedPatch:
    """One temporal patch and its place in the stream."""

    #: Number in the stream.
    number: int
    #: Mean stream time of its frames.
    seconds: float
    #: (1 + depth, tokens, width) on the model's device.
    values: Tensor
