"""What identifies a local model in a result, found out without loading its weights."""

from __future__ import annotations

import platform

import torch
import transformers

from dsb.config.schema import CacheConfig, ModelConfig
from dsb.models.backend import Description
from dsb.models.local.checkpoint.folder import check_weights
from dsb.models.local.checkpoint.guards import check_guards
from dsb.models.local.checkpoint.load import settings_digest, weights_digest
from dsb.models.local.checkpoint.placement import place
from dsb.models.local.checkpoint.quantization import describe_quantization
from dsb.models.local.checkpoint.weightless import without_weights
from dsb.models.local.engine.grammar import grammars_of
from dsb.models.store.layout import find


def identify_local(model: ModelConfig, cache: CacheConfig) -> Description:
    """Family, checkpoint, precision, kind of device and the libraries that will compute.

    Raises:
        ModelError: no such checkpoint or device, or it cannot be run here.
        MissingDependency: `device_map` or `quantization` without the package that does it.
    """
    check_guards()
    folder = find(model.path, model.hub)
    placement = place(model)
    check_weights(folder)
    family = without_weights(folder, model, placement.dtype).family
    return {
        "backend": model.backend,
        "family": family.model.config.model_type,
        "path": model.path,
        "weights_sha256": weights_digest(folder),
        "settings_sha256": settings_digest(folder),
        "parameters": family.model.num_parameters(),
        "dtype": str(placement.dtype).removeprefix("torch."),
        "quantization": describe_quantization(model.quantization),
        # Which of several equal devices it is changes no result.
        "device": placement.device.type,
        "span": family.span,
        "reuse": cache.reuse,
        "grammar": grammars_of(family).describe(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
