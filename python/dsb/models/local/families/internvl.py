"""InternVL 2.5 and 3 in the converted layout (`...-hf`): numbered frames of one tile each."""

from __future__ import annotations

from torch import Tensor

from dsb.models.local.families.still_images import StillImages
from dsb.models.local.families.tokens import PatchGrid


class InternVL(StillImages):
    """Frames are numbered from one and stand on lines of their own between image marks."""

    def grid(self, size: tuple[int, int]) -> PatchGrid:
        """Blocks of patches, folded into one token each."""
        ratio = self.model.config.downsample_ratio
        return PatchGrid(int(self._rows * ratio), int(self._columns * ratio))

    @property
    def pad(self) -> str:
        """Frames of a video stand on the token of images."""
        token: str = self.tokenizer.convert_ids_to_tokens(self.model.config.image_token_id)
        return token

    @property
    def placeholder(self) -> str:
        """The word of the chat template, which is not a token of the model."""
        return getattr(self.tokenizer, "video_token", None) or "<video>"

    def before(self, index: int, seconds: float) -> str:
        """Number and opening mark."""
        line = f"Frame{index + 1}: <img>"
        return f"\n{line}" if index else line

    @property
    def after(self) -> str:
        """Closing mark."""
        return "</img>"

    def _features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.model.model.get_image_features(
            pixels, return_dict=True
        ).pooler_output
        return features[0]
