"""LLaVA-1.5 and its kin: an image model, to which every frame is one image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor

from dsb.errors import ModelError
from dsb.models.local.families.family import PromptRule
from dsb.models.local.families.still_images import StillImages
from dsb.models.local.families.tokens import PatchGrid


class Llava(StillImages):
    """The prompt of several images: each on a line of its own."""

    medium: ClassVar[Literal["video", "image"]] = "image"

    def __init__(
        self, model: Any, tokenizer: Any, processor: Mapping[str, Any], rule: PromptRule
    ) -> None:
        tower = model.config.vision_config.model_type
        if tower not in ("clip_vision_model", "siglip_vision_model"):
            raise ModelError(
                f"this LLaVA checkpoint has a vision tower of type {tower!r}, whose pictures have no fixed size; "
                "use one with a CLIP or SigLIP tower, such as llava-hf/llava-1.5-7b-hf"
            )
        if processor.get("do_pad") and processor.get("image_processor_type", "").startswith(
            "LlavaImage"
        ):
            raise ModelError(
                "preprocessor_config.json: do_pad makes pictures square with a border, which this version cannot; "
                "set it to false to cut out the centre instead"
            )
        super().__init__(model, tokenizer, processor, rule)

    def grid(self, size: tuple[int, int]) -> PatchGrid:
        """One token per patch of the tower, and one for the whole where the checkpoint keeps CLIP's class token."""
        config = self.model.config
        cells = self._rows * self._columns
        keeps = config.vision_feature_select_strategy == "full"
        if keeps and config.vision_config.model_type == "clip_vision_model":
            return PatchGrid(1, cells + 1)
        return PatchGrid(self._rows, self._columns)

    def before(self, index: int, seconds: float) -> str:
        """The line break between two images; the one behind the last is the template's."""
        return "\n" if index else ""

    def _features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.model.model.get_image_features(
            pixels, return_dict=True
        ).pooler_output[0]
        return features
