"""From the section `model` of a configuration to a loaded backend."""

from __future__ import annotations

from collections.abc import Callable

from dsb.config.schema import CacheConfig, ModelConfig
from dsb.models.backend import Backend
from dsb.registry import Registry

BACKENDS: Registry[Callable[[ModelConfig, CacheConfig], Backend]] = Registry(
    "backend",
    "dsb.backends",
    dict.fromkeys(
        ("internvl", "llava", "llava-onevision", "llava_next_video", "minicpm", "qwen"),
        "dsb.models.local.backend:open_local",
    ),
)

#: `model.path` of the model that ships with the package.
EMBEDDED = "embedded"


def open_backend(model: ModelConfig, cache: CacheConfig | None = None) -> Backend:
    """Load the model that `model` describes; `cache` says how it re-uses visual work (default: `CacheConfig()`).

    Raises:
        RegistryError: no backend has this name.
        MissingDependency: the backend needs a package that is not installed.
        ModelError: the model cannot be found or loaded.
    """
    factory = BACKENDS.load(model.backend)
    if model.path == EMBEDDED:
        from dsb.models.tiny import embedded_path

        model = model.model_copy(update={"path": str(embedded_path())})
    return factory(model, cache if cache is not None else CacheConfig())
