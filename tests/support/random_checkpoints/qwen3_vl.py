"""Qwen3-VL, dense and mixture of experts."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)

from random_checkpoints.parts import MEAN, STD, WIDTH, randomise, save, text_config
from random_checkpoints.text import END, PAD, qwen_tokenizer

SPECIAL = ["<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>"]
TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n"
    "{% if turn.content is string %}{{ turn.content }}{% else %}{% for part in turn.content %}"
    "{% if part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write(folder: Path, model_type: str, seed: int) -> None:
    tokenizer = qwen_tokenizer(SPECIAL, TEMPLATE)
    ids = dict(zip(SPECIAL, tokenizer.convert_tokens_to_ids(SPECIAL), strict=True))
    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [4, 2, 2],
        "mrope_interleaved": True,
    }
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    text = text_config(len(tokenizer), head_dim=16, rope_parameters=rope)
    vision = {
        "depth": 3,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": WIDTH,
        # Fewer than the cells of the frames, so that they are interpolated.
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0, 1],
    }
    tokens = {
        "video_token_id": ids["<|video_pad|>"],
        "image_token_id": ids["<|image_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }
    torch.manual_seed(seed)
    if model_type == "qwen3_vl_moe":
        config = Qwen3VLMoeConfig(text_config={**text, **experts}, vision_config=vision, **tokens)
        model = Qwen3VLMoeForConditionalGeneration(config)
    else:
        config = Qwen3VLConfig(text_config=text, vision_config=vision, **tokens)
        model = Qwen3VLForConditionalGeneration(config)
    image = {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "processor_class": "Qwen3VLProcessor",
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": MEAN,
        "image_std": STD,
        "size": {"longest_edge": 32 * 32 * 64, "shortest_edge": 32 * 32 * 4},
    }
    # Other limits than for images, and over all frames together, as in the public checkpoints.
    video = {
        **{key: value for key, value in image.items() if key != "image_processor_type"},
        "video_processor_type": "Qwen3VLVideoProcessor",
        "size": {"longest_edge": 32 * 32 * 16, "shortest_edge": 32 * 32 * 4},
    }
    settings = {"preprocessor_config.json": image, "video_preprocessor_config.json": video}
    save(folder, randomise(model, seed), tokenizer, [END, PAD], settings)
