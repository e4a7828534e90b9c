"""Qwen2-VL and Qwen2.5-VL: two frames per temporal patch, three RoPE axes, one video block per prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from dsb.errors import ModelError
from dsb.models.local.families.family import Family, PromptRule
from dsb.models.local.families.tokens import Clock, Cursor, PatchGrid

#: Visual cells that the reference code allows one frame of a video at most.
_MAX_CELLS_PER_FRAME = 768


@dataclass(frozen=True)
class PixelRules:
    """What the checkpoint's image processor does with pixels."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    min_pixels: int
    max_pixels: int

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> PixelRules:
        """From the processor's file; both the old and the new names of the limits.

        Raises:
            ModelError: it does not say how pixels are normalised.
        """
        size = settings.get("size") or {}
        for key in ("image_mean", "image_std"):
            if key not in settings:
                raise ModelError(
                    f"the checkpoint's preprocessor_config.json has no {key}; copy the file from the model's hub"
                )
        return cls(
            tuple(settings["image_mean"]),
            tuple(settings["image_std"]),
            settings.get("min_pixels") or size.get("shortest_edge") or 56 * 56,
            settings.get("max_pixels") or size.get("longest_edge") or 28 * 28 * 1280,
        )


class Qwen2VL(Family):
    """Both generations; they differ in the temporal step of the positions alone."""

    span = 2
    axes = 3

    def __init__(
        self, model: Any, tokenizer: Any, processor: Mapping[str, Any], rule: PromptRule
    ) -> None:
        super().__init__(model, tokenizer, processor, rule)
        vision = model.config.vision_config
        if vision.temporal_patch_size != self.span:
            raise ModelError(
                f"temporal_patch_size is {vision.temporal_patch_size}; Qwen-VL checkpoints have {self.span}"
            )
        self._patch: int = vision.patch_size
        self._merge: int = vision.spatial_merge_size
        #: Temporal positions per second; `None` counts patches instead (Qwen2-VL).
        self._tokens_per_second: int | None = getattr(vision, "tokens_per_second", None)
        self._rules = PixelRules.read(processor)
        self._mean = torch.tensor(self._rules.mean, device=self.device)[:, None, None]
        self._std = torch.tensor(self._rules.std, device=self.device)[:, None, None]
        self._cells = lru_cache(8)(self._spatial)

    def frame_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        """The reference's rule: sides in whole cells, the area within the limits of checkpoint and video."""
        width, height = source_size
        cell = self._patch * self._merge
        if self._rules.min_pixels == self._rules.max_pixels:
            # A checkpoint that allows a single area was trained on squares of that area alone.
            side = max(cell, round(math.sqrt(self._rules.max_pixels) / cell) * cell)
            return side, side
        limit = min(self._rules.max_pixels, _MAX_CELLS_PER_FRAME * cell * cell)
        rounded = [max(cell, round(side / cell) * cell) for side in (width, height)]
        area = rounded[0] * rounded[1]
        if area > limit:
            shrink = math.sqrt(width * height / limit)
            rounded = [max(cell, math.floor(side / shrink / cell) * cell) for side in source_size]
        elif area < self._rules.min_pixels:
            grow = math.sqrt(self._rules.min_pixels / (width * height))
            rounded = [math.ceil(side * grow / cell) * cell for side in source_size]
        return rounded[0], rounded[1]

    def grid(self, size: tuple[int, int]) -> PatchGrid:
        """One token per cell of `patch * merge` pixels."""
        cell = self._patch * self._merge
        width, height = size
        if width % cell or height % cell or not width or not height:
            needs = f"both sides must be multiples of {cell}"
            raise self.refuse_size(size, needs, self.frame_size(size))
        return PatchGrid(height // cell, width // cell)

    def pixels(self, frames: Tensor) -> Tensor:
        """Normalised patches (H/p * W/p, 3 * 2 * p * p) float32 of (2, H, W, 3) uint8, cells contiguous."""
        patch, merge = self._patch, self._merge
        height, width = frames.shape[1] // patch, frames.shape[2] // patch
        colours = frames.to(self.device).permute(0, 3, 1, 2).float() * (1 / 255)
        tiles = ((colours - self._mean) / self._std).reshape(
            self.span, 3, height // merge, merge, patch, width // merge, merge, patch
        )
        ordered = tiles.permute(2, 5, 3, 6, 1, 0, 4, 7)
        return ordered.reshape(height * width, 3 * self.span * patch * patch)

    def encode(self, frames: Tensor) -> Tensor:
        """Through the stock vision tower, which attends within one temporal patch only."""
        embeds: Tensor = self._vision(frames).pooler_output[0]
        return embeds[None]

    def place(self, cursor: Cursor, index: int, clock: Clock) -> tuple[Tensor, Cursor]:
        """All patches of a video count from its origin; the reference's text goes on behind the largest position.

        transformers >= 5.3 goes on behind the origin by the longer side of a frame instead (`rule: hf`).
        """
        grid = clock.grid
        step = Fraction(1)
        if self._tokens_per_second is not None:
            step = self._tokens_per_second * self.span / clock.fps
        time = int(index * step)
        longer = max(grid.height, grid.width)
        behind = longer if self.rule == "hf" else max(time + 1, longer)
        places = self._cells(grid) + cursor.origin
        places[0] += time
        return places, Cursor(max(cursor.next, cursor.origin + behind), cursor.origin)

    def _vision(self, frames: Tensor) -> Any:
        grid = [[1, frames.shape[1] // self._patch, frames.shape[2] // self._patch]]
        return self.model.model.get_video_features(
            self.pixels(frames).to(self.dtype),
            torch.tensor(grid, device=self.device),
            return_dict=True,
        )

    def _spatial(self, grid: PatchGrid) -> Tensor:
        rows, columns = torch.arange(grid.height), torch.arange(grid.width)
        axes = torch.meshgrid(torch.zeros(1, dtype=torch.long), rows, columns, indexing="ij")
        return torch.stack([axis.reshape(-1) for axis in axes]).to(self.device)
