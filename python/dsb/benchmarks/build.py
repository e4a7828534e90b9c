"""Benchmarks by name, as `dataset.format` and `dataset.protocol` ask for them."""

from __future__ import annotations

from dsb.benchmarks.benchmark import Benchmark
from dsb.benchmarks.protocol import Protocol
from dsb.errors import ConfigError
from dsb.registry import Registry

BENCHMARKS: Registry[Benchmark] = Registry(
    "benchmark",
    "dsb.benchmarks",
    dict.fromkeys(("items", "synth"), "dsb.benchmarks.item_files:ITEM_FILES"),
    holds=Benchmark,
)


def find_protocol(benchmark: str, protocol: str) -> tuple[Benchmark, Protocol]:
    """A benchmark by the name of its loader, and one of its protocols.

    Raises:
        RegistryError: no benchmark has this name.
        ConfigError: it has no such protocol.
    """
    found = BENCHMARKS.load(benchmark)
    try:
        return found, found.protocols[protocol]
    except KeyError:
        raise ConfigError(
            f"dataset.protocol: benchmark {benchmark!r} has no protocol {protocol!r}; "
            f"known: {', '.join(found.protocols)}"
        ) from None
