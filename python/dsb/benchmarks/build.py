"""Benchmarks by name, as `dataset.format` asks for them."""

from __future__ import annotations

from dsb.benchmarks.benchmark import Benchmark
from dsb.registry import Registry

BENCHMARKS: Registry[Benchmark] = Registry(
    "benchmark",
    "dsb.benchmarks",
    {
        "items": "dsb.benchmarks.benchmark:ITEM_FILES",
        "synth": "dsb.benchmarks.synth.benchmark:SYNTH",
    },
)
