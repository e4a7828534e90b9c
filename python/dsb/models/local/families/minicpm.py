"""MiniCPM-V 4.6 and 4.7: one frame per temporal patch, each between `<image>` and `</image>`.

Most layers of the language model are linear attention, whose state cannot give a frame back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dsb.errors import ModelError
from dsb.models.local.families.family import Family, PromptRule
from dsb.models.local.families.tokens import Clock, Cursor, PatchGrid, Tokens

_MARKS = ("image_start_token", "image_end_token", "image_id_start_token", "image_id_end_token")


class MiniCPMV46(Family):
    """Frames are shown whole: the slices that the maker cuts out of documents are not for video."""

    evicts = False

    def __init__(
        self, model: Any, tokenizer: Any, processor: Mapping[str, Any], rule: PromptRule
    ) -> None:
        super().__init__(model, tokenizer, processor, rule)
        marks = [getattr(tokenizer, name, None) for name in _MARKS]
        if None in marks:
            missing = ", ".join(name for name, mark in zip(_MARKS, marks, strict=True) if not mark)
            raise ModelError(
                f"the tokenizer of this MiniCPM-V checkpoint does not name its {missing} in "
                "tokenizer_config.json; take the files of openbmb/MiniCPM-V-4.6 as they are"
            )
        self._open, self._close, self._open_id, self._close_id = (str(mark) for mark in marks)
        config = model.config
        self._patch: int = config.vision_config.patch_size
        merges = config.merger_times + (config.downsample_mode != "4x")
        #: Side of a visual token in pixels.
        self._cell = self._patch * config.merge_kernel_size[0] ** merges
        #: Side of the square whose area a frame is given.
        self._side: int = processor.get("scale_resolution", 448)
        self._numbered: bool = rule == "hf" and processor.get("use_image_id", True)
        self._mean = self._channels(processor.get("image_mean", (0.5, 0.5, 0.5)))
        self._std = self._channels(processor.get("image_std", (0.5, 0.5, 0.5)))

    def frame_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        """The area of `scale_resolution` squared at the shape of the source, in whole cells."""
        ratio = source_size[0] / source_size[1]
        height = int(self._side / math.sqrt(ratio))
        sides = (int(height * ratio), height)
        width, height = (max(round(s / self._cell) * self._cell, self._cell) for s in sides)
        return width, height

    def grid(self, size: tuple[int, int]) -> PatchGrid:
        """One token per cell."""
        width, height = size
        if width % self._cell or height % self._cell or not width or not height:
            needs = f"both sides must be multiples of {self._cell}"
            raise self.refuse_size(size, needs, self.frame_size(size))
        return PatchGrid(height // self._cell, width // self._cell)

    def pixels(self, frames: Tensor) -> Tensor:
        """Patches side by side, (1, 3, p, H/p * W/p * p) float32, of (1, H, W, 3) uint8."""
        patch = self._patch
        height, width = frames.shape[1] // patch, frames.shape[2] // patch
        colours = frames[0].to(self.device).permute(2, 0, 1).float() * (1 / 255)
        tiles = ((colours - self._mean) / self._std).reshape(3, height, patch, width, patch)
        return tiles.permute(0, 2, 1, 3, 4).reshape(1, 3, patch, height * width * patch)

    def encode(self, frames: Tensor) -> Tensor:
        """Through the stock vision tower and its mergers."""
        sizes = [[frames.shape[1] // self._patch, frames.shape[2] // self._patch]]
        embeds: Tensor = self.model.model.get_image_features(
            self.pixels(frames).to(self.dtype),
            torch.tensor(sizes, device=self.device),
            return_dict=True,
        ).pooler_output[0]
        return embeds[None]

    def before(self, index: int, seconds: float) -> str:
        """`<image>`; the processor of transformers numbers the video (`rule: hf`), the maker does not."""
        number = f"{self._open_id}0{self._close_id}" if self._numbered and index == 0 else ""
        return number + self._open

    @property
    def after(self) -> str:
        """`</image>`."""
        return self._close

    def _channels(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=self.device)[:, None, None]


@dataclass(frozen=True)
class _Canvas(Cursor):
    """Behind the visual tokens of a frame, where its closing mark is still to come."""

    #: Its position on the three axes.
    corner: tuple[int, int, int] = (0, 0, 0)


class MiniCPMV47(MiniCPMV46):
    """4.6 with positions on three axes: every frame is a canvas, and its marks stand at the corners."""

    axes = 3

    def __init__(
        self, model: Any, tokenizer: Any, processor: Mapping[str, Any], rule: PromptRule
    ) -> None:
        super().__init__(model, tokenizer, processor, rule)
        self._numbered = False
        self._marks = (model.config.image_start_id, model.config.image_end_id)
        if None in self._marks:
            raise ModelError(
                "config.json of this MiniCPM-V 4.7 checkpoint lacks image_start_id or image_end_id, from which "
                "the positions of frames follow; take the files of openbmb/MiniCPM-V-4.7-1B as they are"
            )

    def place(self, cursor: Cursor, index: int, clock: Clock) -> tuple[Tensor, Cursor]:
        """Rows and columns count from the cursor; text goes on one behind the longer side."""
        start, grid = cursor.next, clock.grid
        rows, columns = torch.arange(grid.height), torch.arange(grid.width)
        axes = torch.meshgrid(torch.zeros(1, dtype=torch.long), rows, columns, indexing="ij")
        places = torch.stack([axis.reshape(-1) for axis in axes]) + start
        corner = (start, start + grid.height, start + grid.width)
        behind = start + max(grid.height, grid.width) + 1
        return places.to(self.device), _Canvas(behind, cursor.origin, corner)

    def text(self, ids: Sequence[int], cursor: Cursor) -> tuple[Tokens, Cursor]:
        """Text in a line, except for the marks: `<image>` lies just outside of its canvas, `</image>` opposite."""
        if not set(self._marks) & set(ids):
            return super().text(ids, cursor)
        places = []
        for token in ids:
            place, cursor = self._spot(token, cursor)
            places.append(place)
        positions = torch.tensor(places, device=self.device).T
        return Tokens(self.embed(ids), positions), cursor

    def _spot(self, token: int, cursor: Cursor) -> tuple[tuple[int, int, int], Cursor]:
        here = cursor.next
        if token == self._marks[0]:
            halo = max(here - 1, 0)
            return (here, halo, halo), cursor
        if token == self._marks[1] and isinstance(cursor, _Canvas):
            return cursor.corner, Cursor(here, cursor.origin)
        return (here, here, here), Cursor(here + 1, cursor.origin)
