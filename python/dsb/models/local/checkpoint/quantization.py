"""Weights of the language model in 8 or 4 bits.

Both ways quantise weights alone, and activations stay in the model's dtype: a token's result then depends on nothing
that is computed beside it, so that reuse of keys and values changes nothing here either. (The 8-bit scheme of
bitsandbytes looks for outliers over all tokens of a forward, and breaks this.) torchao's 8-bit weights do that on CPU
and GPU; its 4-bit ones need a GPU kernel package, so those are the NF4 of bitsandbytes.

The vision tower, which runs once per frame, and the output layer, whose scores are compared with each other, stay as
they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Literal

import torch
import transformers

from dsb.errors import ModelError
from dsb.models.local.checkpoint.placement import Placement, need_package

Bits = Literal["int8", "int4"]

_PACKAGES = {"int8": "torchao", "int4": "bitsandbytes"}
#: The CPU kernel of 4-bit weights takes whole blocks of this many inputs.
_CPU_BLOCK = 64
#: Names of modules that stay as they are: all but those of the language model.
_KEPT = [r"(?!model\.language_model\.).*"]


def quantized_loading(bits: Bits, config: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Arguments of `from_pretrained` that quantise while loading.

    Raises:
        ModelError: the checkpoint is quantised already.
        MissingDependency: a package is not installed.
    """
    asked = f"model.quantization={bits}"
    for package in (_PACKAGES[bits], "accelerate"):
        need_package(package, asked, "quantization")
    if "quantization_config" in config:
        method = config["quantization_config"].get("quant_method", "unknown")
        raise ModelError(
            f"{asked}: the checkpoint is quantised already ({method}); set model.quantization=none to run it as it is"
        )
    return {
        "quantization_config": _recipe(bits, place.dtype),
        "device_map": place.spread or {"": str(place.device)},
    }


def describe_quantization(bits: Bits | Literal["none"]) -> str:
    """The kind of weights, with the version of the package that computes with them."""
    if bits == "none":
        return bits
    package = _PACKAGES[bits]
    return f"{bits} ({package} {version(package)})"


def check_quantized(model: Any, bits: Bits) -> None:
    """Raise `ModelError` unless most of the language model is what was asked for, and can run here."""
    asked = f"model.quantization={bits}"
    tower = model.model.language_model
    layers = {
        name: each
        for name, each in tower.named_modules()
        if isinstance(each, torch.nn.Linear) and _is_quantized(each)
    }
    small = sum(each.in_features * each.out_features for each in layers.values())
    as_before = sum(
        each.numel()
        for name, each in tower.named_parameters()
        if each.ndim > 1 and name.rpartition(".")[0] not in {*layers, "embed_tokens"}
    )
    if as_before > small:
        raise ModelError(
            f"{asked} leaves {as_before / (as_before + small):.0%} of the language model as it was: "
            f"{_PACKAGES[bits]} knows linear layers, and these weights (experts of a mixture, for example) are in "
            "another form; set model.quantization=none, or take a checkpoint that its makers quantised"
        )
    odd = [name for name, each in layers.items() if each.in_features % _CPU_BLOCK]
    if bits == "int4" and odd and model.get_input_embeddings().weight.device.type == "cpu":
        raise ModelError(
            f"{asked} on a CPU takes layers with a multiple of {_CPU_BLOCK} inputs, and {odd[0]} is not one; "
            "use int8, or a GPU"
        )


def _is_quantized(layer: torch.nn.Linear) -> bool:
    return type(layer.weight).__name__ in ("Int8Tensor", "Params4bit")


def _recipe(bits: Bits, dtype: torch.dtype) -> Any:
    if bits == "int4":
        return transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=_KEPT,
        )
    from torchao.quantization import Int8WeightOnlyConfig

    return transformers.TorchAoConfig(Int8WeightOnlyConfig(version=2), modules_to_not_convert=_KEPT)
