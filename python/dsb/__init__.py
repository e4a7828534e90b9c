"""DualStreamBench: streaming video understanding with two systems, measured.

`run` plays a configuration, `score` grades what is in the folder of a run, and `open_run` looks at what is in there.
`load_config` says what a run would be made of, and where each value comes from:

>>> import dsb
>>> loaded = dsb.load_config("quickstart", ["video.fps=1/2"])
>>> loaded.config.video.fps, loaded.origins["video.fps"]
(Fraction(1, 2), '-s')
>>> loaded.config.system.s2.window.max_frames, loaded.origins["system.s2.window.max_frames"].rpartition("/")[2]
(96, 'quickstart.yaml:31')
>>> loaded.config.seed, loaded.origins["seed"]
(0, 'default')

The other names are what a package of yours needs that adds a router, a backend or a benchmark; `examples/` has one of
each. Errors stand in `dsb.errors`. Everything else in here may move from one version to the next.

A name is imported when it is first asked for, so `import dsb` costs nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

#: Public name -> where it is defined. Type checkers read `__init__.pyi`.
_PUBLIC = {
    "run": "dsb.analysis.verbs:run",
    "score": "dsb.analysis.verbs:score",
    "open_run": "dsb.runlog.run:open_run",
    "load_config": "dsb.evaluation.configuration:load_run_config",
    # A router: what it is, what it sees, what it says.
    "Router": "dsb.routing.router:Router",
    "RouterKind": "dsb.routing.router:RouterKind",
    "Section": "dsb.config.schema:Section",
    "RouteFeatures": "dsb.routing.features:RouteFeatures",
    "RouteScore": "dsb.routing.router:RouteScore",
    "Load": "dsb.routing.router:Load",
    "Route": "dsb.routing.router:Route",
    # A backend: what it is, what it is told, what it says.
    "Backend": "dsb.models.backend:Backend",
    "BackendKind": "dsb.models.backend:BackendKind",
    "ModelConfig": "dsb.config.schema:ModelConfig",
    "CacheConfig": "dsb.config.schema:CacheConfig",
    "Conversation": "dsb.models.backend:Conversation",
    "StreamSpec": "dsb.models.backend:StreamSpec",
    "Abilities": "dsb.models.backend:Abilities",
    "Window": "dsb._core:Window",
    "Receipt": "dsb.models.backend:Receipt",
    "Request": "dsb.models.backend:Request",
    "StreamView": "dsb.stream.view:StreamView",
    "Reply": "dsb.models.backend:Reply",
    "Usage": "dsb.models.backend:Usage",
    "Timing": "dsb.models.backend:Timing",
    "InputDigest": "dsb.models.digest:InputDigest",
    "Polling": "dsb.models.polling:Polling",
    "Turn": "dsb.models.backend:Turn",
    "Counters": "dsb.models.backend:Counters",
    # A benchmark: what it is, what it asks, what an answer is worth.
    "Benchmark": "dsb.benchmarks.benchmark:Benchmark",
    "ItemFiles": "dsb.benchmarks.item_files:ItemFiles",
    "Item": "dsb.benchmarks.item:Item",
    "Answer": "dsb.benchmarks.item:Answer",
    "dump_items": "dsb.benchmarks.item:dump_items",
    "Protocol": "dsb.benchmarks.protocol:Protocol",
    "Delivered": "dsb.benchmarks.grading:Delivered",
    "Grade": "dsb.benchmarks.grading:Grade",
    # What S2 can look up.
    "Memory": "dsb.memory.record:Memory",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - names of a literal dict


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    # Kept, so that this is asked once per name.
    found = globals()[name] = getattr(import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
