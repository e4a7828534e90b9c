"""Checkpoints that transformers cannot run by itself, and what to use in their place.

Code that comes with a checkpoint is never run: `trust_remote_code` stays off.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING

from dsb.errors import ModelError

_MINICPM = (
    "this generation was never brought into transformers; use the next one, openbmb/MiniCPM-V-4.6, with "
    "`model.backend: minicpm`"
)
_INTERNVL = (
    "use the converted checkpoint, whose name ends in -hf (OpenGVLab/InternVL3-8B-hf, OpenGVLab/InternVL3_5-8B-HF), "
    "with `model.backend: internvl`"
)
_LLAVA = (
    "use the converted checkpoint of llava-hf (llava-hf/llava-1.5-7b-hf, llava-hf/llava-onevision-qwen2-7b-ov-hf, "
    "llava-hf/LLaVA-NeXT-Video-7B-hf)"
)
_INSTEAD: Mapping[str, str] = {
    "minicpmv": _MINICPM,
    "minicpmo": _MINICPM,
    "internvl_chat": _INTERNVL,
}


def refuse_remote_code(config: Mapping[str, Any], folder: Path) -> None:
    """Raise `ModelError` if the model of this `config.json` needs code of its own.

    A model type that transformers knows itself may name such code too; it is not run then.
    """
    kind = config.get("model_type")
    # The makers' own LLaVA checkpoints name their vision tower; the converted ones describe it.
    if "mm_vision_tower" in config:
        raise ModelError(f"the checkpoint in {folder} is LLaVA in its maker's own format; {_LLAVA}")
    if kind in _INSTEAD:
        raise ModelError(
            f"the checkpoint in {folder} (model type {kind!r}) needs code that comes with it, and such code is "
            f"never run here; {_INSTEAD[str(kind)]}"
        )
    if "AutoConfig" in config.get("auto_map", {}) and kind not in CONFIG_MAPPING:
        raise ModelError(
            f"the checkpoint in {folder} (model type {kind!r}) needs code that comes with it (auto_map in "
            "config.json), and such code is never run here; use a version of it that transformers runs natively, "
            "often named ...-hf"
        )
