"""Qwen3-VL: each temporal patch stands behind its time in words, and speaks to the first layers too."""

from __future__ import annotations

import torch
from torch import Tensor

from dsb.models.local.families.qwen2_vl import Qwen2VL
from dsb.models.local.families.tokens import Clock, Cursor

_OPEN, _CLOSE = "<|vision_start|>", "<|vision_end|>"


class Qwen3VL(Qwen2VL):
    """Dense and mixture of experts. Pixels as in Qwen2-VL, with the checkpoint's own patch size."""

    def encode(self, frames: Tensor) -> Tensor:
        """(1 + depth, tokens, width): the embeddings, and what the first layers add to them (deepstack)."""
        output = self._vision(frames)
        deep = [video[0] for video in output.deepstack_features]
        return torch.stack([output.pooler_output[0], *deep])

    @property
    def depth(self) -> int:
        """As many layers as the tower taps."""
        return len(self.model.config.vision_config.deepstack_visual_indexes)

    @property
    def placeholder(self) -> str:
        """The maker's code replaces the template's marks along with the video; transformers 5 keeps them outside."""
        return self.pad if self.rule == "hf" else f"{_OPEN}{self.pad}{_CLOSE}"

    def before(self, index: int, seconds: float) -> str:
        """The mean time of the patch's frames, as the model was taught to read it."""
        return f"<{seconds:.1f} seconds>{_OPEN}"

    @property
    def after(self) -> str:
        """Closing mark."""
        return _CLOSE

    def place(self, cursor: Cursor, index: int, clock: Clock) -> tuple[Tensor, Cursor]:
        """Time is in the words, so every patch counts from the cursor; text goes on behind its longer side."""
        grid = clock.grid
        places = self._cells(grid) + cursor.next
        return places, Cursor(cursor.next + max(grid.height, grid.width), cursor.origin)
