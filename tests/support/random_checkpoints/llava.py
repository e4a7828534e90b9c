"""LLaVA-1.5: a CLIP tower, and a Llama with as many key and value heads as query heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration

from random_checkpoints.parts import MEAN, STD, clip_config, randomise, save, text_config
from random_checkpoints.text import llama_tokenizer

SIDE = 56
TEMPLATE = (
    "{% for turn in messages %}{% if turn.role != 'system' %}{{ turn.role | upper + ': ' }}{% endif %}"
    "{% for part in turn.content | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in turn.content | selectattr('type', 'equalto', 'text') %}{{ part.text + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def write(folder: Path, model_type: str, seed: int) -> None:
    write_with_tower(folder, seed, clip_config(SIDE), -2, "default")


def write_with_tower(
    folder: Path, seed: int, tower: dict[str, Any], layer: int, strategy: str
) -> None:
    """A checkpoint with the vision tower of the configuration `tower`."""
    tokenizer = llama_tokenizer(["<image>"], TEMPLATE, old=True)
    config = LlavaConfig(
        vision_config=tower,
        text_config=text_config(len(tokenizer), model_type="llama", num_key_value_heads=4),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // 14) ** 2,
        vision_feature_layer=layer,
        vision_feature_select_strategy=strategy,
    )
    torch.manual_seed(seed)
    settings = {
        "preprocessor_config.json": clip_preprocessor(SIDE),
        "processor_config.json": {
            "processor_class": "LlavaProcessor",
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": 14,
            "vision_feature_select_strategy": strategy,
        },
    }
    model = randomise(LlavaForConditionalGeneration(config), seed)
    save(folder, model, tokenizer, ["</s>"], settings)


def clip_preprocessor(side: int) -> dict[str, object]:
    """The shorter edge to `side`, then its centre."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
