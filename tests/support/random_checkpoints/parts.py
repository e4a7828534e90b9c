"""What the random checkpoints of several families share: text towers, weights, files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

#: Not symmetric, so that mean and standard deviation cannot be mixed up between channels.
MEAN, STD = [0.48, 0.45, 0.40], [0.27, 0.26, 0.28]
WIDTH = 64
SENTENCES = [
    "What color is the star now? The red star is A. The blue ring is B.",
    "Is it time to speak? yes or no. yes no yes no A B C D",
    "How many times did the background change since the red star appeared?",
]


def text_config(vocabulary: int, **more: Any) -> dict[str, Any]:
    """A language model with grouped keys and values, as in most families."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
        **more,
    }


def clip_config(side: int) -> dict[str, Any]:
    """A CLIP tower for squares of `side` pixels."""
    return {
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": side,
        "patch_size": 14,
        "projection_dim": 32,
    }


def randomise(model: Any, seed: int) -> Any:
    """Fill every matrix so that answers depend on what is asked and seen.

    The initial weights of the library give nearly the same score to every token.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim < 2:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
                continue
            scale = 1.2 / parameter.shape[-1] ** 0.5 if parameter.ndim == 2 else 0.08
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def save(
    folder: Path,
    model: Any,
    tokenizer: Any,
    stop: list[str],
    settings: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write the checkpoint; `settings` are the contents of the processor's files by name."""
    ids = tokenizer.convert_tokens_to_ids(stop)
    model.generation_config = GenerationConfig(
        eos_token_id=ids, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, content in settings.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
