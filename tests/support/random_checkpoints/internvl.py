"""InternVL 2.5 and 3 in the converted layout: square tiles, four patches to a token, tied embeddings."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration

from random_checkpoints.parts import MEAN, STD, randomise, save, text_config
from random_checkpoints.text import END, PAD, qwen_tokenizer

SIDE = 84
SPECIAL = ["<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
TEMPLATE = (
    "{% for turn in messages %}{{ '<|im_start|>' + turn.role + '\n' }}"
    "{% if turn.content is string %}{{ turn.content }}{% else %}{% for part in turn.content %}"
    "{% if part.type == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% elif part.type == 'video' %}{{ '<video>\n' }}"
    "{% elif part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write(folder: Path, model_type: str, seed: int) -> None:
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = qwen_tokenizer(SPECIAL, TEMPLATE, extra_special_tokens=named)
    config = InternVLConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": [SIDE, SIDE],
            "patch_size": [14, 14],
        },
        text_config=text_config(len(tokenizer), model_type="qwen2", tie_word_embeddings=True),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=(SIDE // 28) ** 2,
        downsample_ratio=0.5,
        tie_word_embeddings=True,
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
    settings = {
        "preprocessor_config.json": {
            **squeeze,
            "image_processor_type": "GotOcr2ImageProcessorFast",
            "crop_to_patches": False,
        },
        "video_preprocessor_config.json": {
            **squeeze,
            "video_processor_type": "InternVLVideoProcessor",
        },
        "processor_config.json": {
            "processor_class": "InternVLProcessor",
            "image_seq_length": (SIDE // 28) ** 2,
        },
    }
    model = randomise(InternVLForConditionalGeneration(config), seed)
    save(folder, model, tokenizer, [END, PAD], settings)
