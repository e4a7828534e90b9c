"""Families that see a video as single pictures of one fixed size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dsb.errors import ModelError
from dsb.models.local.families.family import Family, PromptRule
from dsb.models.local.families.tokens import PatchGrid

#: Pillow's numbers of the filters that the device knows too.
_FILTERS = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class StillRules:
    """What a checkpoint's image processor does with one picture."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    #: What a pixel is multiplied with.
    scale: float
    #: Shorter side after scaling with the proportions kept; `None` stretches to `crop` instead.
    shorter: int | None
    #: Width and height of the centre that the tower sees.
    crop: tuple[int, int]
    #: Filter of `torch.nn.functional.interpolate`.
    filter: str

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> StillRules:
        """From the processor's file.

        Raises:
            ModelError: it lacks a setting, or asks for something else than scaling, cropping and normalising.
        """
        try:
            mean, std, size = (settings[key] for key in ("image_mean", "image_std", "size"))
        except KeyError as error:
            raise ModelError(
                f"preprocessor_config.json has no {error.args[0]}; copy the file from the model's hub"
            ) from error
        number = settings.get("resample", 3)
        if number not in _FILTERS:
            raise ModelError(
                f"preprocessor_config.json: resample is {number}, supported are 2 (bilinear) and 3 (bicubic)"
            )
        shorter = size if isinstance(size, int) else size.get("shortest_edge")
        crop = settings.get("crop_size") if settings.get("do_center_crop", True) else None
        if isinstance(crop, int):
            crop = {"width": crop, "height": crop}
        seen = crop or size
        if shorter is not None and (crop is None or shorter < max(crop["width"], crop["height"])):
            raise ModelError(
                f"preprocessor_config.json: size {size} with crop_size {crop} gives no picture of one fixed size"
            )
        return cls(
            tuple(mean),
            tuple(std),
            settings.get("rescale_factor", 1 / 255),
            shorter,
            (seen["width"], seen["height"]),
            _FILTERS[number],
        )

    def scaled(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of a picture of `size` (width, height) before its centre is cut out."""
        if self.shorter is None:
            return self.crop
        width, height = size
        if width <= height:
            return self.shorter, int(self.shorter * height / width)
        return int(self.shorter * width / height), self.shorter


class StillImages(Family):
    """One frame per temporal patch, through a tower for pictures of one fixed size.

    `frame_size` is what the checkpoint's processor scales a picture to, before it cuts out the centre: so the
    proportions are those that the model was trained on, the decoder scales once, and nothing is left to scale on
    the device. Frames of any other size (S1 and S2 may be different models on one stream) are scaled on the device
    with the processor's filter, antialiased and rounded to whole levels as Pillow does.
    """

    def __init__(
        self, model: Any, tokenizer: Any, processor: Mapping[str, Any], rule: PromptRule
    ) -> None:
        super().__init__(model, tokenizer, processor, rule)
        self._rules = StillRules.read(processor)
        vision = model.config.vision_config
        height, width = _pair(vision.image_size)
        tall, wide = _pair(vision.patch_size)
        #: Rows and columns of the tower's own patches.
        self._rows, self._columns = height // tall, width // wide
        if self._rules.crop != (width, height):
            raise ModelError(
                f"preprocessor_config.json makes pictures of {self._rules.crop[0]}x{self._rules.crop[1]} pixels, "
                f"but config.json says that the vision tower takes {width}x{height}; the files are of two checkpoints"
            )
        self._mean = torch.tensor(self._rules.mean, device=self.device)[:, None, None]
        self._std = torch.tensor(self._rules.std, device=self.device)[:, None, None]

    def frame_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        """As the checkpoint's processor scales it."""
        return self._rules.scaled(source_size)

    def grid(self, size: tuple[int, int]) -> PatchGrid:
        """The same for frames of every size."""
        return PatchGrid(self._rows, self._columns)

    def pixels(self, frames: Tensor) -> Tensor:
        """(1, 3, H, W) float32 of (1, H', W', 3) uint8: scaled, cut out, normalised."""
        picture = frames.to(self.device).permute(0, 3, 1, 2).float()
        width, height = self._rules.scaled((picture.shape[3], picture.shape[2]))
        if picture.shape[2:] != (height, width):
            picture = interpolate(
                picture, (height, width), mode=self._rules.filter, antialias=True
            ).round_()
            picture = picture.clamp_(0, 255)
        across, down = self._rules.crop
        left, top = (width - across) // 2, (height - down) // 2
        picture = picture[:, :, top : top + down, left : left + across] * self._rules.scale
        return (picture - self._mean) / self._std

    def encode(self, frames: Tensor) -> Tensor:
        """(1, tokens, width) of one frame, through the stock tower and projector."""
        return self._features(self.pixels(frames).to(self.dtype))[None]

    @abstractmethod
    def _features(self, pixels: Tensor) -> Tensor:
        """Embeddings (tokens, width) of one normalised picture (1, 3, H, W)."""


def _pair(value: Any) -> tuple[int, int]:
    """Height and width."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])
