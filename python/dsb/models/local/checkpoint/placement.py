"""On which device and in which precision a model computes."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from dsb.config.schema import ModelConfig
from dsb.errors import MissingDependency, ModelError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Placement:
    """Where the weights go."""

    #: Where the inputs are, and all weights unless they are spread.
    device: torch.device
    #: Of weights and activations that are not quantised.
    dtype: torch.dtype
    #: How accelerate spreads the weights; `None` puts all of them on `device`.
    spread: str | None


def place(config: ModelConfig) -> Placement:
    """What `config` says about devices and precision.

    Raises:
        ModelError: no such device, or `device` and `device_map` contradict each other.
        MissingDependency: `device_map` without accelerate.
    """
    if config.device_map is not None:
        if config.device != "auto":
            raise ModelError(
                f"model.device={config.device!r} and model.device_map={config.device_map!r} both say where the "
                "weights go; leave one of them out"
            )
        need_package("accelerate", f"model.device_map={config.device_map!r}", "devices")
    device = pick_device(config.device)
    return Placement(device, pick_dtype(config.dtype, device), config.device_map)


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


def need_package(package: str, asked: str, extra: str) -> None:
    """Raise `MissingDependency` if `package`, needed for what was `asked`, is not installed."""
    if importlib.util.find_spec(package) is None:
        raise MissingDependency(
            f"{asked} needs the package {package}: pip install 'dualstreambench[{extra}]'"
        )


def check_spread(model: Any, asked: str) -> None:
    """Refuse weights that accelerate put aside, from where every forward would fetch them anew.

    Raises:
        ModelError: the model does not fit the GPUs.
    """
    places: Iterable[Any] = getattr(model, "hf_device_map", {}).values()
    kinds = {str(each).partition(":")[0] for each in places}
    aside = kinds & {"cpu", "disk"}
    if "disk" in kinds or (aside and len(kinds) > 1):
        raise ModelError(
            f"model.device_map={asked!r} does not fit the model into the memory of the GPUs: parts of it would stay "
            f"on {' and '.join(sorted(aside))}; use `quantization: int4`, a smaller model or more GPUs"
        )
