"""The models that benches/engine.py measures: a checkpoint, or random weights of a public model's shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForImageTextToText, GenerationConfig, PreTrainedTokenizerFast

from dsb.config.schema import ModelConfig
from dsb.models.local.checkpoint.load import Checkpoint, load_checkpoint
from dsb.models.local.engine.attention import attention_name
from dsb.models.local.families.chat import ChatFormat
from dsb.models.local.families.qwen2_vl import Qwen2VL
from dsb.models.tiny import embedded_path

#: The model in the package, with its weights.
EMBEDDED = "tiny"

_SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>",
    "<|image_pad|>",
]  # fmt: skip
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_PIXELS = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "min_pixels": 3136,
    "max_pixels": 12845056,
}


@dataclass(frozen=True)
class Shape:
    """What decides how much a model computes."""

    model_type: str
    text: dict[str, Any]
    vision: dict[str, Any]
    tied: bool
    """Input and output embeddings are one matrix."""


def _text(
    hidden: int, inner: int, layers: int, heads: int, kv: int, vocabulary: int
) -> dict[str, Any]:
    width = hidden // heads
    sections = {128: [16, 24, 24], 16: [2, 3, 3]}[width]
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocabulary,
        "max_position_embeddings": 128_000,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections},
    }


def _vision(out: int) -> dict[str, Any]:
    """Of all sizes of Qwen2.5-VL up to 7B."""
    return {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": out,
        "patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "tokens_per_second": 2,
    }


SHAPES = {
    "qwen2.5-vl-7b": Shape(
        "qwen2_5_vl", _text(3584, 18944, 28, 28, 4, 152_064), _vision(3584), tied=False
    ),
    "qwen2.5-vl-3b": Shape(
        "qwen2_5_vl", _text(2048, 11008, 36, 16, 2, 151_936), _vision(2048), tied=True
    ),
    "qwen2-vl-2b": Shape(
        "qwen2_vl",
        _text(1536, 8960, 28, 12, 2, 151_936),
        {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "mlp_ratio": 4, "num_heads": 16},
        tied=True,
    ),
    # Says nothing about speed: the code of the shapes above, small enough for a test.
    "nano": Shape(
        "qwen2_5_vl",
        _text(64, 96, 2, 4, 2, 512),
        _vision(64)
        | {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "fullatt_block_indexes": [1]},
        tied=False,
    ),
}  # fmt: skip


def load(shape: str, path: Path | None, config: ModelConfig, seed: int) -> Checkpoint:
    """The checkpoint in `path`, the embedded model, or random weights made on the device."""
    if path is not None or shape == EMBEDDED:
        return load_checkpoint(config.model_copy(update={"path": str(path or embedded_path())}))
    return _random(SHAPES[shape], config, seed)


def _random(shape: Shape, config: ModelConfig, seed: int) -> Checkpoint:
    tokenizer = _bytes_tokenizer()
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in _SPECIAL}
    settings = transformers.AutoConfig.for_model(
        shape.model_type,
        text_config=shape.text | {"tie_word_embeddings": shape.tied},
        vision_config=shape.vision,
        tie_word_embeddings=shape.tied,
        video_token_id=ids["<|video_pad|>"],
        image_token_id=ids["<|image_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(seed)
    device = torch.device(config.device)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    if config.dtype != "auto":
        dtype = getattr(torch, config.dtype)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with device:
        model: Any = AutoModelForImageTextToText.from_config(settings, dtype=dtype)
    model.generation_config = GenerationConfig(
        eos_token_id=ids["<|im_end|>"], pad_token_id=ids["<|endoftext|>"]
    )
    model.set_attn_implementation({"text_config": attention_name(config.attention)})
    model = model.eval().requires_grad_(requires_grad=False)
    family = Qwen2VL(model, tokenizer, _PIXELS, "reference")
    chat = ChatFormat(family)
    chat.self_test(tokens=4)
    return Checkpoint(family, chat, Path())


def _bytes_tokenizer() -> PreTrainedTokenizerFast:
    """Nearly one token per byte: texts are longer than with the public tokenizer, never shorter."""
    vocabulary = {piece: number for number, piece in enumerate(_SPECIAL)}
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[letter] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(_SPECIAL)
    # What a poll scores is one token each, as in the public tokenizer.
    tokenizer.add_tokens(["yes", "no"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = _TEMPLATE
    return fast
