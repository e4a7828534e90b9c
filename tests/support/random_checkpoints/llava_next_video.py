"""LLaVA-NeXT-Video: as LLaVA, with frames pooled to a quarter of their tokens."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlavaNextVideoConfig, LlavaNextVideoForConditionalGeneration

from random_checkpoints.llava import clip_preprocessor
from random_checkpoints.parts import clip_config, randomise, save, text_config
from random_checkpoints.text import llama_tokenizer

SIDE = 84
TEMPLATE = (
    "{% for turn in messages %}{% if turn.role == 'system' %}{{ turn.content[0].text }}"
    "{% else %}{{ turn.role | upper + ': ' }}"
    "{% for part in turn.content | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in turn.content | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}{% endfor %}"
    "{% for part in turn.content | selectattr('type', 'equalto', 'text') %}{{ part.text + ' ' }}{% endfor %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def write(folder: Path, model_type: str, seed: int) -> None:
    tokenizer = llama_tokenizer(["<video>", "<image>"], "")
    # The public checkpoints keep the template in a file of the processor alone.
    tokenizer.chat_template = None
    config = LlavaNextVideoConfig(
        vision_config=clip_config(SIDE),
        text_config=text_config(len(tokenizer), model_type="llama", num_key_value_heads=4),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        spatial_pool_mode="average",
        spatial_pool_stride=2,
    )
    torch.manual_seed(seed)
    image = {
        **clip_preprocessor(SIDE),
        "image_processor_type": "LlavaNextImageProcessor",
        "do_pad": True,
        "image_grid_pinpoints": [[SIDE, 2 * SIDE]],
    }
    video = {**clip_preprocessor(SIDE), "video_processor_type": "LlavaNextVideoVideoProcessor"}
    settings = {
        "preprocessor_config.json": image,
        "video_preprocessor_config.json": video,
        "processor_config.json": {
            "processor_class": "LlavaNextVideoProcessor",
            "image_token": "<image>",
            "video_token": "<video>",
            "patch_size": 14,
            "vision_feature_select_strategy": "default",
        },
        "chat_template.json": {"chat_template": TEMPLATE},
    }
    model = randomise(LlavaNextVideoForConditionalGeneration(config), seed)
    save(folder, model, tokenizer, ["</s>"], settings)
