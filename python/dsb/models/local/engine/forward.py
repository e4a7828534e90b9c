"""The one way in which the engine runs tokens through a language model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dsb.models.local.engine.arena import Arena
from dsb.models.local.engine.step import CompiledStep
from dsb.models.local.families.family import Family
from dsb.models.local.families.tokens import Tokens


@dataclass(frozen=True)
class Forward:
    """The language model of a family, behind what an arena holds."""

    family: Family
    #: Runs small forwards; `None` runs all of them as they are.
    step: CompiledStep | None = None

    def hidden(self, tokens: Tokens, arena: Arena, mask: Tensor | None) -> Tensor:
        """Last hidden states (n, width) of tokens for which `arena` has made room; see `Family.hidden`."""
        if self.step is not None and self.step.takes(tokens, arena):
            return self.step.hidden(tokens, arena, mask)
        return self.family.hidden(tokens, arena.cache, mask)
