"""MiniCPM-V 4.6 and 4.7: NaViT tower with two mergers, hybrid language model, frames between marks."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    MiniCPMV4_6Config,
    MiniCPMV4_6ForConditionalGeneration,
    MiniCPMV4_7Config,
    MiniCPMV4_7ForConditionalGeneration,
)

from random_checkpoints.parts import MEAN, STD, randomise, save, text_config
from random_checkpoints.text import END, PAD, qwen_tokenizer

SIDE = 112
NAMED = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "image_start_token": "<image>",
    "image_end_token": "</image>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>",
    "image_id_end_token": "</image_id>",
}
TEMPLATE = (
    "{% for turn in messages %}{{ '<|im_start|>' + turn.role + '\n' }}"
    "{% if turn.content is string %}{{ turn.content }}{% else %}{% for part in turn.content %}"
    "{% if part.type == 'image' %}{{ '<|image_pad|>' }}{% elif part.type == 'video' %}{{ '<|video_pad|>' }}"
    "{% elif part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write(folder: Path, model_type: str, seed: int) -> None:
    tokenizer = qwen_tokenizer(list(NAMED.values()), TEMPLATE, extra_special_tokens=NAMED)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in NAMED.items()}
    text = text_config(
        len(tokenizer),
        model_type="qwen3_5_text",
        num_hidden_layers=4,
        head_dim=16,
        layer_types=["linear_attention", "full_attention", "linear_attention", "full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 1e4,
            "partial_rotary_factor": 0.5,
            "mrope_section": [2, 1, 1],
            "mrope_interleaved": True,
        },
    )
    shared = {
        "text_config": text,
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": 14,
        },
        "insert_layer_id": 1,
        "image_token_id": ids["image_token"],
        "video_token_id": ids["video_token"],
    }
    torch.manual_seed(seed)
    if model_type == "minicpmv4_7":
        marks = {
            "image_start_id": ids["image_start_token"],
            "image_end_id": ids["image_end_token"],
            "slice_start_id": ids["slice_start_token"],
            "slice_end_id": ids["slice_end_token"],
            "newline_id": tokenizer("\n", add_special_tokens=False).input_ids[-1],
        }
        model = MiniCPMV4_7ForConditionalGeneration(MiniCPMV4_7Config(**shared, **marks))
    else:
        model = MiniCPMV4_6ForConditionalGeneration(MiniCPMV4_6Config(**shared))
    pixels = {
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "patch_size": 14,
        "scale_resolution": SIDE,
        "max_slice_nums": 9,
        "slice_mode": True,
        "use_image_id": True,
        "downsample_mode": "16x",
    }
    processor = type(model).__name__.removesuffix("ForConditionalGeneration")
    settings = {
        "preprocessor_config.json": {
            **pixels,
            "image_processor_type": "MiniCPMV4_6ImageProcessor",
        },
        "video_preprocessor_config.json": {
            **pixels,
            "video_processor_type": "MiniCPMV4_6VideoProcessor",
        },
        "processor_config.json": {"processor_class": f"{processor}Processor"},
    }
    save(folder, randomise(model, seed), tokenizer, [END, PAD], settings)
