"""Contradictions between `window.kv` and `streaming_embed_cache`, which would otherwise change nothing.

Only what `reuse: kv` does while a stream is played is looked at. `reuse: none`, `embed` and `stream.mode: offline`
read every window anew; they are compared with it under the same configuration.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsb.config.schema import RunConfig, SystemConfig
from dsb.config.source import KeyPath

_CACHE = ("system", "streaming_embed_cache")


def kept_windows(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    """Yield the key to change and why, with the remedy."""
    if config.system.streaming_embed_cache.reuse != "kv" or config.stream.mode == "offline":
        return
    for name, system in _systems(config).items():
        window = system.window
        if window.kv in ("evict", "view") and window.fps is not None:
            yield (
                ("system", name, "window", "kv"),
                (
                    f"with system.{name}.window.fps the window is encoded and read anew for every question; "
                    "leave that out, or set this to auto"
                ),
            )
        elif window.kv == "view":
            yield from _view(config, name)
    yield from _without_effect(config)


def _systems(config: RunConfig) -> dict[str, SystemConfig]:
    return {"s1": config.system.s1, "s2": config.system.s2}


def _may_evict(name: str, system: SystemConfig) -> bool:
    """Whether frames can leave its keys and values; for `auto` the model decides."""
    kinds = ("evict", "auto") if name == "s2" else ("evict",)
    return system.window.fps is None and system.window.kv in kinds


def _view(config: RunConfig, name: str) -> Iterator[tuple[KeyPath, str]]:
    systems = _systems(config)
    own = systems.pop(name)
    (other, lender), *_ = systems.items()
    key = ("system", name, "window", "kv")
    if not _may_evict(other, lender):
        yield (
            key,
            (
                f"view looks into what {other} keeps, and {other} keeps nothing; set system.{other}.window.kv to "
                "evict and leave out its fps, or this to strict"
            ),
        )
    elif config.models[name] != config.models[other]:
        yield (
            key,
            (
                f"view looks into what {other} keeps, but {other} has another model; give both the same one, or set "
                "this to strict"
            ),
        )
    elif own.window.max_frames > lender.window.max_frames:
        yield (
            ("system", name, "window", "max_frames"),
            (
                f"{own.window.max_frames} is more than the {lender.window.max_frames} of {other}, into whose context "
                f"{name} looks (window.kv: view)"
            ),
        )


def _without_effect(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    cache = config.system.streaming_embed_cache
    evicting = {name: each for name, each in _systems(config).items() if _may_evict(name, each)}
    if not evicting:
        for key, wanted, default in (
            ("context_tokens", cache.context_tokens, None),
            ("eviction", cache.eviction, "oldest"),
            ("sinks", cache.sinks, 0),
        ):
            if wanted != default:
                yield (
                    (*_CACHE, key),
                    "no system drops frames from its context; set system.s2.window.kv to evict, or leave this out",
                )
    for name, system in evicting.items():
        if cache.eviction != "oldest" and system.window.span_s is not None:
            yield (
                (*_CACHE, "eviction"),
                (
                    f"{cache.eviction} keeps frames of any age, but system.{name}.window.span_s is set; leave one of "
                    "them out"
                ),
            )
