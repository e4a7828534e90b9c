"""How much memory a model needs, from its configuration alone.

`text` is the configuration of a language model (`config.get_text_config()`), `itemsize` the bytes of one number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from dsb.models.local.engine.arena import head_width, kv_heads
from dsb.models.local.engine.recurrent import linear_layers

#: Bytes per weight of quantised matrices: 8-bit integers; 4-bit ones with a float32 scale for each block of 64
#: (bitsandbytes, NF4; QLoRA, arXiv:2305.14314, section 3).
_QUANTIZED_BYTES = {"int8": 1.0, "int4": 0.5 + 4 / 64}
#: Rows of one prefill at most.
_MOST_ROWS = 8192
#: Parts between the vision tower and the language model: they see merged patches.
_PROJECTOR = re.compile(r"merger|projector|aligner|resampler")


# -- keys, values and recurrent states -------------------------------------------------------------


def attention_layers(text: Any) -> int:
    """Layers that keep keys and values; the others of a hybrid keep a state of fixed size.

    Raises:
        ModelError: a layer is of a kind that the engine does not run.
    """
    return int(text.num_hidden_layers) - len(linear_layers(text))


def kv_bytes_per_token(text: Any, itemsize: int) -> int:
    """Keys and values of one token in all layers: 2 x layers x KV heads x head width x itemsize."""
    return 2 * attention_layers(text) * kv_heads(text) * head_width(text) * itemsize


def state_bytes(text: Any, itemsize: int) -> int:
    """Recurrent and convolution states of the linear-attention layers (gated delta rule); 0 without such layers."""
    layers = int(text.num_hidden_layers) - attention_layers(text)
    if not layers:
        return 0
    keys = text.linear_num_key_heads * text.linear_key_head_dim
    values = text.linear_num_value_heads * text.linear_value_head_dim
    # The recurrent state is kept in float32.
    recurrent = text.linear_num_value_heads * text.linear_key_head_dim * text.linear_value_head_dim
    convolution = (2 * keys + values) * text.linear_conv_kernel_dim
    return int(layers * (4 * recurrent + itemsize * convolution))


def context_length(text: Any) -> int:
    """Positions that the language model was made for, its rotary scaling included."""
    most = int(text.max_position_embeddings)
    rotary = getattr(text, "rope_parameters", None) or {}
    factor = float(rotary.get("factor") or 1)
    if rotary.get("rope_type") == "linear":
        return int(most * factor)
    return max(most, int((rotary.get("original_max_position_embeddings") or 0) * factor))


def embedding_bytes(tokens: int, width: int, depth: int, itemsize: int) -> int:
    """One encoded temporal patch in the visual cache; `depth` as in `Family`."""
    return (1 + depth) * tokens * width * itemsize


# -- weights ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameters:
    """Numbers of a model by what they cost. Vectors (norms, biases) count in `total` alone."""

    total: int
    #: Table of input embeddings; a token reads one row.
    embedding: int
    #: Matrix of the output; with tied embeddings the same numbers as `embedding`.
    head: int
    #: Matrices of the language model's layers.
    language: int
    #: Of these, what one token meets: all, except experts that are not chosen.
    active: int
    #: Matrices of the vision tower.
    tower: int
    #: Matrices between the vision tower and the language model.
    projector: int
    #: Weights of linear layers in the language model, the output excepted: what quantisation shrinks.
    linear: int


def count_parameters(model: Any) -> Parameters:
    """Count a model of transformers; one on the meta device is enough."""
    head = model.get_output_embeddings()
    table = model.get_input_embeddings()
    found = dict.fromkeys(("embedding", "language", "active", "tower", "projector", "linear"), 0.0)
    share = _active_experts(model.config.get_text_config())
    total = 0
    for place, module, parameter in _parameters(model):
        size = parameter.numel()
        total += size
        if module is table:
            found["embedding"] += size
        if parameter.ndim < 2 or module is head or isinstance(module, torch.nn.Embedding):
            continue
        if "language_model." in place:
            found["language"] += size
            found["active"] += size * (share if ".experts" in place else 1)
            found["linear"] += size if isinstance(module, torch.nn.Linear) else 0
        else:
            found["projector" if _PROJECTOR.search(place) else "tower"] += size
    counts = {name: int(value) for name, value in found.items()}
    return Parameters(total=total, head=head.weight.numel(), **counts)


def _parameters(model: Any) -> Iterator[tuple[str, Any, Any]]:
    """Place, module and parameter, each parameter once."""
    seen: set[int] = set()
    for place, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield f"{place}.{name}", module, parameter


def _active_experts(text: Any) -> float:
    experts = getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None)
    chosen = getattr(text, "num_experts_per_tok", None)
    return chosen / experts if experts and chosen else 1.0


def weights_bytes(parameters: Parameters, itemsize: int, quantization: str = "none") -> int:
    """Memory of all weights."""
    if quantization == "none":
        return parameters.total * itemsize
    rest = (parameters.total - parameters.linear) * itemsize
    return int(rest + parameters.linear * _QUANTIZED_BYTES[quantization])


def decode_bytes(parameters: Parameters, itemsize: int, quantization: str = "none") -> int:
    """Weights that one forward of the language model reads: layers and output, no input embeddings."""
    plain = parameters.active + parameters.head
    if quantization == "none" or not parameters.language:
        return plain * itemsize
    quantized = parameters.active * parameters.linear // parameters.language
    return int((plain - quantized) * itemsize + quantized * _QUANTIZED_BYTES[quantization])


# -- activations -----------------------------------------------------------------------------------


def workspace_bytes(text: Any, vision: Any, rows: int, vision_rows: int, itemsize: int) -> int:
    """Activations of the largest forward. An estimate: what one layer holds at a time, and one row of scores.

    A layer holds input, residual, queries and output (4 x hidden) and the gate, its product and the way up of the
    feed-forward part (3 x intermediate); `rows` are tokens prefilled together, `vision_rows` patches of the tower.
    """
    language = min(rows, _MOST_ROWS) * (4 * text.hidden_size + 3 * text.intermediate_size)
    tower = vision_rows * (4 * vision.hidden_size + 3 * getattr(vision, "intermediate_size", 0))
    return int(max(language, tower) * itemsize + 4 * text.vocab_size)
