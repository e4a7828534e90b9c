"""What is wrong with the files of a checkpoint, from their headers alone."""

from __future__ import annotations

import math
from pathlib import Path

import safetensors

from dsb.errors import ModelError
from dsb.models.local.checkpoint.folder import check_weights, read_config
from dsb.models.local.checkup.footprint import Parameters
from dsb.models.store import layout, manifest


def file_problems(folder: Path, parameters: Parameters) -> list[str]:
    """What is wrong with the files of a checkpoint of `parameters`; reads headers, no weights."""
    own = manifest.read(folder)
    lost = [] if own is None else manifest.missing(folder, own)
    if lost:
        return [f"{path} is not as it was fetched" for path in lost]
    if layout.state(folder) == "incomplete":
        return ["its fetch has not ended"]
    try:
        check_weights(folder)
    except ModelError as error:
        return [str(error)]
    stored = _stored_numbers(folder)
    if stored is not None and stored < parameters.total and quantized_by(folder) is None:
        return [
            (
                f"the weight files hold {stored} numbers, and config.json describes a model of {parameters.total}; "
                "they are of two checkpoints"
            )
        ]
    return []


def quantized_by(folder: Path) -> str | None:
    """How the weights of a checkpoint are stored, where they are quantised."""
    stored = read_config(folder).get("quantization_config")
    return None if stored is None else str(stored.get("quant_method", "unknown"))


def _stored_numbers(folder: Path) -> int | None:
    """Numbers in the safetensors files of `folder`, by their headers; `None` without such files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return None
    total = 0
    for path in files:
        with safetensors.safe_open(path, "pt") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return total
