"""What goes into a language model: tokens, and the places where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor


@dataclass(frozen=True)
class PatchGrid:
    """Visual tokens of one temporal patch at one frame size."""

    height: int
    width: int

    @property
    def tokens(self) -> int:
        """Number of visual tokens."""
        return self.height * self.width


@dataclass(frozen=True)
class Clock:
    """What the positions of temporal patches may depend on."""

    grid: PatchGrid
    #: Frames per second of stream time.
    fps: Fraction


@dataclass(frozen=True)
class Cursor:
    """Where the next token of a sequence stands."""

    #: Position of the next text token.
    next: int = 0
    #: Position of the first token behind the chat header, from which a video counts.
    origin: int = 0

    def moved(self, by: int) -> Cursor:
        """The same place `by` positions later."""
        return replace(self, next=self.next + by, origin=self.origin + by)


@dataclass(frozen=True)
class Tokens:
    """Input of the language model."""

    #: (n, width) in the model's dtype.
    embeds: Tensor
    #: (axes, n), int64.
    positions: Tensor
    #: (depth, n, width): what the first layers add to their outputs, zero at text; `None` adds nothing.
    deep: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeds)

    @classmethod
    def join(cls, parts: Sequence[Tokens]) -> Tokens:
        """One behind the other."""
        if len(parts) == 1:
            return parts[0]
        deep = None
        depth = next((len(part.deep) for part in parts if part.deep is not None), 0)
        if depth:
            deep = torch.cat(
                [
                    part.embeds.new_zeros((depth, *part.embeds.shape))
                    if part.deep is None
                    else part.deep
                    for part in parts
                ],
                dim=1,
            )
        return cls(
            torch.cat([part.embeds for part in parts]),
            torch.cat([part.positions for part in parts], dim=1),
            deep,
        )
