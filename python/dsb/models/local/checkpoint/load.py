"""From a path or hub id to a loaded model and its family."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers

from dsb.config.schema import ModelConfig
from dsb.errors import ModelError
from dsb.models.local.checkpoint.folder import (
    check_all_loaded,
    check_tokenizer,
    check_weights,
    old_chat_template,
    read_config,
    read_processor,
)
from dsb.models.local.checkpoint.guards import check_guards
from dsb.models.local.checkpoint.placement import Placement, check_spread, need_package, place
from dsb.models.local.checkpoint.quantization import check_quantized, quantized_loading
from dsb.models.local.checkpoint.remote_code import refuse_remote_code
from dsb.models.local.engine.attention import attention_name
from dsb.models.local.engine.step import CompiledStep
from dsb.models.local.families import FAMILIES, backend_of
from dsb.models.local.families.chat import ChatFormat
from dsb.models.local.families.family import Family
from dsb.models.store import manifest
from dsb.models.store.layout import find

_FAMILIES = "dsb.models.local.families"
_WEIGHTS = ("*.safetensors", "*.bin")
_SETTINGS = ("*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    family: Family
    chat: ChatFormat
    folder: Path
    #: The language model compiled for small forwards (`model.compile`), for all backends that share this checkpoint.
    step: CompiledStep | None = None


def load_checkpoint(config: ModelConfig) -> Checkpoint:
    """Load the checkpoint of `config`, prove its chat template, and compile it if asked to.

    Raises:
        ModelError: not found, of another family, damaged, asking for what this version cannot do, or not compilable.
        MissingDependency: `device_map` or `quantization` without the package that does it.
    """
    check_guards()
    folder = find(config.path, config.hub)
    settings = read_config(folder)
    family_of(config.backend, settings, folder)
    placement = place(config)
    check_weights(folder)
    tokenizer = load_tokenizer(folder)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    model = _load_model(folder, config, settings, placement)
    checkpoint = assemble(folder, settings, model, tokenizer, config)
    if config.compile:
        return replace(checkpoint, step=CompiledStep(checkpoint.family))
    return checkpoint


def assemble(
    folder: Path, settings: Mapping[str, Any], model: Any, tokenizer: Any, config: ModelConfig
) -> Checkpoint:
    """The family of a model, its chat template proved; `model` may be on the meta device, without weights.

    `settings` is the content of `config.json`.

    Raises:
        ModelError: of another family than `config.backend` runs, or the chat template fails the test.
    """
    build = family_of(config.backend, settings, folder)
    family = build(model, tokenizer, read_processor(folder), config.prompt)
    chat = ChatFormat(family)
    chat.self_test(tokens=4)
    return Checkpoint(family, chat, folder)


def weights_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the weight files, hex."""
    return _digest(next((found for kind in _WEIGHTS if (found := sorted(folder.glob(kind)))), []))


def settings_digest(folder: Path) -> str:
    """SHA-256 over everything beside the weights that changes answers: configuration, tokenizer, chat template."""
    found = {path for kind in _SETTINGS for path in folder.glob(kind)}
    # The manifest of a fetch says when and from where; that changes no answer.
    return _digest(sorted(found - {folder / manifest.NAME}))


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def family_of(backend: str, settings: Mapping[str, Any], folder: Path) -> Callable[..., Family]:
    """The family of a checkpoint whose `config.json` says `settings`.

    Raises:
        ModelError: `backend` does not run it; names the backend or the checkpoint that would do.
    """
    refuse_remote_code(settings, folder)
    kind = str(settings.get("model_type"))
    known = FAMILIES[backend]
    if kind not in known:
        right = backend_of(kind)
        remedy = "no backend runs it" if right is None else f"set model.backend={right}"
        raise ModelError(
            f"{folder / 'config.json'} is of model type {kind!r}; backend {backend!r} runs "
            f"{', '.join(sorted(known))}; {remedy}"
        )
    module, _, name = known[kind].partition(":")
    family: Callable[..., Family] = getattr(importlib.import_module(f"{_FAMILIES}.{module}"), name)
    return family


def _load_model(
    folder: Path, config: ModelConfig, settings: Mapping[str, Any], placement: Placement
) -> Any:
    arguments: dict[str, Any] = {
        "dtype": placement.dtype,
        # The vision tower keeps the stock function: only the language model reads an arena.
        "attn_implementation": {"text_config": attention_name(config.attention)},
    }
    if placement.spread is not None:
        arguments["device_map"] = placement.spread
    if config.quantization != "none":
        arguments |= quantized_loading(config.quantization, settings, placement)
    elif "quantization_config" in settings:
        # Such weights cannot be moved once they are loaded.
        need_package("accelerate", f"the quantised checkpoint in {folder}", "quantization")
        arguments.setdefault("device_map", {"": str(placement.device)})
    model, info = _read_weights(folder, arguments)
    check_all_loaded(folder, info)
    if config.quantization != "none":
        check_quantized(model, config.quantization)
    if placement.spread is not None:
        check_spread(model, placement.spread)
    if "device_map" not in arguments:
        model = model.to(placement.device)
    return model.eval().requires_grad_(False)


def _read_weights(folder: Path, arguments: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The model, and what transformers says about its weights."""
    messages = transformers.utils.logging
    messages.disable_progress_bar()
    verbosity = messages.get_verbosity()
    # Its table of weights is replaced by `check_all_loaded`.
    messages.set_verbosity_error()
    try:
        loaded: Any = transformers.AutoModelForImageTextToText.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **arguments,
        )
    # from_pretrained raises whatever its parsers raise: OSError, ValueError, SafetensorError, KeyError, ...
    except Exception as error:
        raise ModelError(f"the checkpoint in {folder} cannot be loaded: {error}") from error
    finally:
        messages.set_verbosity(verbosity)
    model, info = loaded
    return model, info


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint, with its chat template.

    Raises:
        ModelError: it cannot be loaded, or has no chat template.
    """
    check_tokenizer(folder)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    # As above.
    except Exception as error:
        raise ModelError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
    if tokenizer.chat_template is None:
        tokenizer.chat_template = old_chat_template(folder)
    if tokenizer.chat_template is None:
        raise ModelError(
            f"the checkpoint in {folder} has no chat template (chat_template.jinja, or chat_template in "
            "tokenizer_config.json): it is a base model, or its folder is not whole; take the instruction-tuned one"
        )
    return tokenizer
