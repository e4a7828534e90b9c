"""A checkpoint without its weights: the model as shapes, with its real tokenizer and chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from dsb.config.schema import ModelConfig
from dsb.errors import ModelError
from dsb.models.local.checkpoint.folder import read_config
from dsb.models.local.checkpoint.load import Checkpoint, assemble, family_of, load_tokenizer


def without_weights(folder: Path, config: ModelConfig, dtype: torch.dtype) -> Checkpoint:
    """The checkpoint with a model that has shapes and no numbers; its chat template is tested.

    Raises:
        ModelError: `config.backend` does not run it, its configuration or tokenizer cannot be read, or its chat
            template fails.
    """
    settings = read_config(folder)
    family_of(config.backend, settings, folder)
    try:
        described = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"):
            model: Any = transformers.AutoModelForImageTextToText.from_config(
                described, dtype=dtype, trust_remote_code=False
            )
            # What ends a turn may be said there alone; `from_config` does not look.
            if (folder / "generation_config.json").is_file():
                model.generation_config = transformers.GenerationConfig.from_pretrained(
                    folder, local_files_only=True
                )
    # transformers raises whatever its configuration classes raise: ValueError, KeyError, OSError, ...
    except Exception as error:
        raise ModelError(
            f"{folder / 'config.json'} describes no model that transformers {transformers.__version__} can build: "
            f"{error}"
        ) from error
    model = model.eval().requires_grad_(False)
    return assemble(folder, settings, model, load_tokenizer(folder), config)
