"""LLaVA-OneVision: pooled frames without text between them, one line break vector behind the last."""

from __future__ import annotations

from torch import Tensor

from dsb.models.local.families.still_images import StillImages
from dsb.models.local.families.tokens import PatchGrid


class LlavaOnevision(StillImages):
    """Its video path: two by two patches of the tower make one token."""

    def grid(self, size: tuple[int, int]) -> PatchGrid:
        """Half as many rows and columns as the tower has, rounded up."""
        return PatchGrid(-(-self._rows // 2), -(-self._columns // 2))

    def closing(self) -> Tensor:
        """The vector that ends a video; the stock model puts it behind the last frame, wherever that is."""
        newline: Tensor = self.model.model.image_newline[None]
        return newline

    def _features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.model.model.get_video_features(
            pixels[None], return_dict=True
        ).pooler_output
        return features[0, :-1]
