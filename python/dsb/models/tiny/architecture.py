"""The model's shape: a `Qwen2_5_VLForConditionalGeneration` of 1.6 million parameters."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from dsb.models.tiny import vocabulary as v

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

#: Side of a frame in pixels; patches of 14 pixels, merged 2x2, give one visual token per quadrant.
FRAME_SIZE = 56
PATCH_SIZE = 14
MERGE_SIZE = 2
#: Frames per temporal patch (a *unit*): the tower encodes two frames at once.
FRAMES_PER_UNIT = 2
PATCHES_PER_UNIT = 16
TOKENS_PER_UNIT = 4
#: Grid of one unit in patches: time, height, width.
UNIT_GRID = (1, 4, 4)
VALUES_PER_PATCH = 3 * FRAMES_PER_UNIT * PATCH_SIZE * PATCH_SIZE


@dataclass(frozen=True)
class Architecture:
    """Sizes of both towers. The defaults are those of the shipped weights."""

    hidden_size: int = 128
    layers: int = 6
    heads: int = 4
    mlp_size: int = 384
    vision_hidden_size: int = 64
    vision_layers: int = 3
    vision_heads: int = 2
    vision_mlp_size: int = 160
    rope_theta: float = 1000.0

    def overrides(self) -> dict[str, int | float]:
        """Return the fields that differ from the defaults; checkpoints carry these."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    def config(self) -> Qwen2_5_VLConfig:
        """Return the stock configuration object of these sizes."""
        from transformers import Qwen2_5_VLConfig

        text = {
            "vocab_size": v.EMBEDDING_ROWS,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.mlp_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "initializer_range": 0.05,
            "max_position_embeddings": 4096,
            "bos_token_id": v.IM_START_ID,
            "eos_token_id": v.IM_END_ID,
            "pad_token_id": v.PAD_ID,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": self.rope_theta,
                "mrope_section": [8, 4, 4],
            },
            "tie_word_embeddings": True,
        }
        vision = {
            "depth": self.vision_layers,
            "hidden_size": self.vision_hidden_size,
            "num_heads": self.vision_heads,
            "intermediate_size": self.vision_mlp_size,
            "patch_size": PATCH_SIZE,
            "spatial_merge_size": MERGE_SIZE,
            "temporal_patch_size": FRAMES_PER_UNIT,
            "in_channels": 3,
            "window_size": FRAME_SIZE,
            "fullatt_block_indexes": list(range(self.vision_layers)),
            "out_hidden_size": self.hidden_size,
            "tokens_per_second": 1,
        }
        return Qwen2_5_VLConfig(
            text_config=text,
            vision_config=vision,
            image_token_id=v.IMAGE_PAD_ID,
            video_token_id=v.VIDEO_PAD_ID,
            vision_start_token_id=v.VISION_START_ID,
            vision_end_token_id=v.VISION_END_ID,
            tie_word_embeddings=True,
        )


def build(architecture: Architecture, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Return a freshly initialised fp32 model; the same seed gives the same weights.

    The word vectors start orthonormal (128 x 128): the vision tower is trained to write exactly
    these vectors into its tokens, and the tied output layer reads them back.
    """
    import torch
    from torch import nn
    from transformers import Qwen2_5_VLForConditionalGeneration

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stock: Any = Qwen2_5_VLForConditionalGeneration
        model = stock._from_config(architecture.config(), attn_implementation="sdpa").float()
        with torch.no_grad():
            rows = torch.empty(v.EMBEDDING_ROWS, architecture.hidden_size)
            model.get_input_embeddings().weight.copy_(nn.init.orthogonal_(rows))
    result: Qwen2_5_VLForConditionalGeneration = model
    return result
