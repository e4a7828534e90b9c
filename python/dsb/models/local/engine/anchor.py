"""`position: anchor`: what never leaves stands next to the window, however long the stream has been.

Rotary positions are relative, so numbering the window from the beginning again (StreamingVLM, arXiv 2510.09608) is
the same as leaving the window where it is and turning the few keys that never leave forward by what has gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dsb.models.local.engine.arena import Arena
    from dsb.models.local.families.family import Family

#: Kinds of rotary embedding whose frequencies depend on the length of what was read.
_CHANGING = ("dynamic", "longrope")


class Anchor:
    """The keys that never leave, turned by the gap behind them."""

    def __init__(self, family: Family, arena: Arena) -> None:
        """Before the first patch leaves, for a model whose keys can be turned."""
        self._family = family
        self._arena = arena
        self._slots = arena.visible([])
        # Always turned from these: in bfloat16 a thousand small turns add up to 44 % of error, one to 0.2 %.
        self._original = arena.keys(self._slots)
        self.gap = torch.zeros(family.axes, dtype=torch.long)

    def turn(self, gap: Tensor) -> None:
        """Put them `gap` (axes,) positions behind where they were read."""
        if not torch.equal(gap, self.gap):
            turned = [rotated(self._family, keys, gap) for keys in self._original]
            self._arena.put_keys(self._slots, turned)
            self.gap = gap


def can_rotate(family: Family) -> bool:
    """Whether keys of this model can be turned: not where frequencies change with the length of the sequence."""
    rotary = family.model.model.language_model.rotary_emb
    return getattr(rotary, "rope_type", "default") not in _CHANGING


def rotated(family: Family, keys: Tensor, gap: Tensor) -> Tensor:
    """Keys (..., n, head dim) as if they had been read `gap` (axes,) positions later."""
    place = gap.to(keys.device)[:, None]
    angle = torch.zeros((), dtype=torch.float32, device=keys.device)
    rotary = family.model.model.language_model.rotary_emb
    cos, sin = rotary(angle, place[:, None] if family.axes > 1 else place)
    # Some rotary embeddings scale what they turn; the keys are scaled already.
    scale = torch.sqrt(cos**2 + sin**2)
    first, second = keys.float().chunk(2, dim=-1)
    across = torch.cat([-second, first], dim=-1)
    turned: Tensor = ((keys.float() * cos[0] + across * sin[0]) / scale[0]).to(keys.dtype)
    return turned
