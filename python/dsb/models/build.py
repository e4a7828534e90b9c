"""From the section `model` of a configuration to a loaded backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dsb.config.schema import CacheConfig, ModelConfig, RunConfig
from dsb.config.source import KeyPath
from dsb.errors import RegistryError
from dsb.models.backend import Backend, BackendKind, Description
from dsb.registry import Registry

BACKENDS: Registry[BackendKind] = Registry(
    "backend",
    "dsb.backends",
    dict.fromkeys(
        ("internvl", "llava", "llava-onevision", "llava_next_video", "minicpm", "qwen"),
        "dsb.models.local.backend:LOCAL",
    ),
    holds=BackendKind,
)

#: `model.path` of the model that ships with the package.
EMBEDDED = "embedded"

#: Brings the checkpoint of a model that is named by a hub id and is not here.
Bring = Callable[[ModelConfig], None]


def identify_models(
    models: Mapping[str, ModelConfig], cache: CacheConfig, bring: Bring
) -> dict[str, Description]:
    """System -> what identifies its model; no weights are loaded.

    `bring` fetches what is missing first, `fetch_missing` for example.

    Raises:
        RegistryError: no backend has this name.
        MissingDependency, ModelError: as `BackendKind.identify`.
    """
    kinds = {model: BACKENDS.load(model.backend) for model in models.values()}
    for model in kinds:
        if is_missing(model):
            bring(model)
    found = {model: kind.identify(resolved(model), cache) for model, kind in kinds.items()}
    return {name: found[model] for name, model in models.items()}


def open_backends(models: Mapping[str, ModelConfig], cache: CacheConfig) -> dict[str, Backend]:
    """System -> its loaded model; one object where several systems have the same model.

    Raises as `open_backend`.
    """
    loaded = {model: open_backend(model, cache) for model in dict.fromkeys(models.values())}
    return {name: loaded[model] for name, model in models.items()}


def backend_problems(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    """Key and reason of every backend that nobody knows; none is imported."""
    systems = {"s1": config.system.s1.model, "s2": config.system.s2.model}
    places: dict[KeyPath, ModelConfig | None] = {("model",): config.model}
    places |= {("system", name, "model"): model for name, model in systems.items()}
    for path, model in places.items():
        if model is not None:
            try:
                BACKENDS.require(model.backend)
            except RegistryError as error:
                yield (*path, "backend"), str(error)


def is_missing(model: ModelConfig) -> bool:
    """Whether a hub has the checkpoint of this local model, and this machine has no usable copy."""
    from dsb.models.local.families import FAMILIES
    from dsb.models.store.layout import to_fetch

    return model.backend in FAMILIES and model.path != EMBEDDED and to_fetch(model.path)


def fetch_missing(model: ModelConfig) -> None:
    """Bring a checkpoint from its hub without a word. Raises as `dsb.models.store.fetch.fetch`."""
    from dsb.models.store.fetch import fetch

    fetch(model.path, hub=model.hub)


def open_backend(model: ModelConfig, cache: CacheConfig | None = None) -> Backend:
    """Load the model that `model` describes; `cache` says how it re-uses visual work (default: `CacheConfig()`).

    Raises:
        RegistryError: no backend has this name.
        MissingDependency: the backend needs a package that is not installed.
        ModelError: the model cannot be found or loaded.
    """
    kind = BACKENDS.load(model.backend)
    return kind.open(resolved(model), cache if cache is not None else CacheConfig())


def resolved(model: ModelConfig) -> ModelConfig:
    """`model` with the embedded model's folder in place of its name; any other as it is."""
    if model.path != EMBEDDED:
        return model
    from dsb.models.tiny import embedded_path

    return model.model_copy(update={"path": str(embedded_path())})
