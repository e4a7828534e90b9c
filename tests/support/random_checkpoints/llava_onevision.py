"""LLaVA-OneVision: a SigLIP tower, pooled frames, one line break vector behind a video."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

from random_checkpoints.parts import MEAN, STD, randomise, save, text_config
from random_checkpoints.text import END, PAD, qwen_tokenizer

#: Five patches a side, so that pooling rounds up, as 27 do in the public checkpoints.
SIDE = 70
TEMPLATE = (
    "{% for turn in messages %}{{ '<|im_start|>' + turn.role + '\n' }}"
    "{% for part in turn.content | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in turn.content | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}{% endfor %}"
    "{% for part in turn.content | selectattr('type', 'equalto', 'text') %}{{ part.text }}{% endfor %}"
    "{{ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write(folder: Path, model_type: str, seed: int) -> None:
    tokenizer = qwen_tokenizer(["<image>", "<video>"], TEMPLATE)
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 14,
        "vision_use_head": False,
    }
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text_config(len(tokenizer), model_type="qwen2"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[SIDE, SIDE]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    torch.manual_seed(seed)
    squeeze = {
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
    image = {
        **squeeze,
        "image_processor_type": "LlavaOnevisionImageProcessor",
        "do_pad": True,
        "image_grid_pinpoints": [[SIDE, SIDE]],
    }
    settings = {
        "preprocessor_config.json": image,
        "video_preprocessor_config.json": {
            **squeeze,
            "video_processor_type": "LlavaOnevisionVideoProcessor",
        },
        "processor_config.json": {
            "processor_class": "LlavaOnevisionProcessor",
            "image_token": "<image>",
            "video_token": "<video>",
            "num_image_tokens": (SIDE // 14) ** 2,
            "vision_feature_select_strategy": "full",
        },
    }
    model = randomise(LlavaOnevisionForConditionalGeneration(config), seed)
    save(folder, model, tokenizer, [END, PAD], settings)
