"""From a path or hub id to a loaded model and its family."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from dsb.config.schema import ModelConfig
from dsb.errors import MissingDependency, ModelError
from dsb.models.local.attention import attention_name
from dsb.models.local.chat import ChatFormat
from dsb.models.local.family import Family

_FAMILIES = "dsb.models.local.families"
#: Backend name -> model types of its checkpoints -> module and class of their family.
FAMILIES: Mapping[str, Mapping[str, str]] = {
    "qwen": {
        "qwen2_vl": "qwen2_vl:Qwen2VL",
        "qwen2_5_vl": "qwen2_vl:Qwen2VL",
        "qwen3_vl": "qwen3_vl:Qwen3VL",
        "qwen3_vl_moe": "qwen3_vl:Qwen3VL",
    },
    "llava": {"llava": "llava:Llava"},
    "llava-onevision": {"llava_onevision": "llava_onevision:LlavaOnevision"},
    "llava_next_video": {"llava_next_video": "llava_next_video:LlavaNextVideo"},
    "internvl": {"internvl": "internvl:InternVL"},
    "minicpm": {"minicpmv4_6": "minicpm:MiniCPMV46", "minicpmv4_7": "minicpm:MiniCPMV47"},
}

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_WEIGHTS = ("*.safetensors", "*.bin")
_SETTINGS = ("*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    family: Family
    chat: ChatFormat
    folder: Path


def load_checkpoint(config: ModelConfig) -> Checkpoint:
    """Load the checkpoint of `config` and prove its chat template.

    Raises:
        ModelError: not found, of another family, damaged, or asking for what this version cannot do.
        MissingDependency: `hub: modelscope` without its package.
    """
    if config.quantization != "none":
        raise ModelError(
            f"model.quantization={config.quantization} is not supported yet; set it to `none` and choose "
            "`dtype: bfloat16` for less memory"
        )
    folder = find_checkpoint(config)
    build = _family_of(config.backend, folder)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = pick_device(config.device)
    model = _load_model(folder, pick_dtype(config.dtype, device), device)
    model.set_attn_implementation({"text_config": attention_name(config.attention)})
    tokenizer = _load_tokenizer(folder)
    family = build(model, tokenizer, _processor(folder), config.prompt)
    chat = ChatFormat(family)
    chat.self_test(tokens=4)
    return Checkpoint(family, chat, folder)


def find_checkpoint(config: ModelConfig) -> Path:
    """The folder that `config.path` names: itself, or the local copy of a hub id, downloaded if need be."""
    folder = Path(config.path).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(config.path):
        raise ModelError(
            f"model.path={config.path!r}: no such folder, and not a hub id (owner/name)"
        )
    download = _snapshot_download(config.hub)
    try:
        return Path(download(config.path))
    # The hub clients raise errors of their own, of the HTTP library and of the OS.
    except Exception as error:
        raise ModelError(
            f"model.path={config.path!r}: no such folder, and {config.hub} did not deliver it "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}); "
            "download the checkpoint on a machine with network access and give the path of its folder"
        ) from error


def _snapshot_download(hub: str) -> Callable[[str], str]:
    if hub == "hf":
        from huggingface_hub import snapshot_download as from_hf

        return from_hf
    try:
        modelscope = importlib.import_module("modelscope")
    except ImportError as error:
        raise MissingDependency(
            "model.hub=modelscope needs the package modelscope: pip install modelscope"
        ) from error
    fetch: Callable[[str], str] = modelscope.snapshot_download
    return fetch


def pick_device(name: str) -> torch.device:
    """The torch device called `name`; `auto` is the first GPU, or the CPU where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(
            f"model.device={name!r} is no device; use auto, cpu, cuda or cuda:N"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"model.device={name!r}: torch {torch.__version__} sees {torch.cuda.device_count()} GPUs; "
            "use `auto` or `cpu`"
        )
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision called `name`; `auto` is float32 on the CPU and bfloat16 on a GPU."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return _DTYPES[name]


def weights_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the weight files, hex."""
    return _digest(next((found for kind in _WEIGHTS if (found := sorted(folder.glob(kind)))), []))


def settings_digest(folder: Path) -> str:
    """SHA-256 over everything beside the weights that changes answers: configuration, tokenizer, chat template."""
    return _digest(sorted(path for kind in _SETTINGS for path in folder.glob(kind)))


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def _family_of(backend: str, folder: Path) -> Callable[..., Family]:
    known = FAMILIES[backend]
    path = folder / "config.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{folder} is not a checkpoint: {path.name} cannot be read ({error})"
        ) from error
    if kind not in known:
        right = next((name for name, kinds in FAMILIES.items() if kind in kinds), None)
        remedy = "no backend runs it" if right is None else f"set model.backend={right}"
        raise ModelError(
            f"{path} is of model type {kind!r}; backend {backend!r} runs {', '.join(sorted(known))}; {remedy}"
        )
    module, _, name = known[kind].partition(":")
    family: Callable[..., Family] = getattr(importlib.import_module(f"{_FAMILIES}.{module}"), name)
    return family


def _load_model(folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    transformers.utils.logging.disable_progress_bar()
    try:
        model: Any = transformers.AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, local_files_only=True
        )
    # from_pretrained raises whatever its parsers raise: OSError, ValueError, SafetensorError, KeyError, ...
    except Exception as error:
        raise ModelError(f"the checkpoint in {folder} cannot be loaded: {error}") from error
    return model.eval().requires_grad_(False).to(device)


def _load_tokenizer(folder: Path) -> Any:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    # As above.
    except Exception as error:
        raise ModelError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
    if tokenizer.chat_template is None:
        old_style = folder / "chat_template.json"
        if not old_style.is_file():
            raise ModelError(f"the checkpoint in {folder} has no chat template")
        template = json.loads(old_style.read_text(encoding="utf-8"))
        tokenizer.chat_template = template["chat_template"]
    return tokenizer


def _processor(folder: Path) -> dict[str, Any]:
    """Settings of the video's processor, or of the image's where a checkpoint has no other."""
    joint = _settings(folder / "processor_config.json") or {}
    found = (
        _settings(folder / "video_preprocessor_config.json")
        or joint.get("video_processor")
        or _settings(folder / "preprocessor_config.json")
        or joint.get("image_processor")
    )
    if not found:
        raise ModelError(f"the checkpoint in {folder} has no preprocessor_config.json")
    return dict(found)


def _settings(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file} is not JSON: {error}") from error
    return content
