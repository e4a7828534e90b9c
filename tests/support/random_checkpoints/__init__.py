"""Small checkpoints of every model family with random weights, in the folder layout of the public ones.

`write_checkpoint` makes one for a test; for a person it is
`cd tests/support && python -m random_checkpoints MODEL_TYPE FOLDER`.
A new model type is one function `write(folder, model_type, seed)` in a module of its own, named in `WRITERS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from random_checkpoints.parts import MEAN, STD

__all__ = ["MEAN", "STD", "WRITERS", "write_checkpoint"]

#: Model type of a `config.json` -> module that writes such a checkpoint.
WRITERS: Mapping[str, str] = {
    "qwen2_vl": "qwen2_vl",
    "qwen2_5_vl": "qwen2_vl",
    "qwen3_vl": "qwen3_vl",
    "qwen3_vl_moe": "qwen3_vl",
    "llava": "llava",
    "llava_onevision": "llava_onevision",
    "llava_next_video": "llava_next_video",
    "internvl": "internvl",
    "minicpmv4_6": "minicpm",
    "minicpmv4_7": "minicpm",
}


def write_checkpoint(folder: Path, model_type: str, *, seed: int = 0) -> Path:
    """A checkpoint of `model_type` in `folder`, with weights that depend on `seed` alone."""
    module = importlib.import_module(f"random_checkpoints.{WRITERS[model_type]}")
    folder.mkdir(parents=True, exist_ok=True)
    module.write(folder, model_type, seed)
    return folder
