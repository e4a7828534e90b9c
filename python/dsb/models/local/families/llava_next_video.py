"""LLaVA-NeXT-Video: pooled frames, one behind the other."""

from __future__ import annotations

from torch import Tensor

from dsb.models.local.families.still_images import StillImages
from dsb.models.local.families.tokens import PatchGrid


class LlavaNextVideo(StillImages):
    """Nothing but the frames stands where the template says `<video>`."""

    def grid(self, size: tuple[int, int]) -> PatchGrid:
        """What pooling leaves of the tower's patches."""
        stride = self.model.config.spatial_pool_stride
        return PatchGrid(self._rows // stride, self._columns // stride)

    def _features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.model.model.get_video_features(
            pixels[None], return_dict=True
        ).pooler_output
        return features[0]
