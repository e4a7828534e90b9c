"""The configuration of a run with all its layers and checks: defaults < protocol < file < overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dsb.benchmarks.build import find_protocol
from dsb.config.checks import contradictions
from dsb.config.load import LoadedConfig, load_config
from dsb.config.schema import RunConfig
from dsb.config.source import KeyPath
from dsb.models.build import backend_problems
from dsb.routing.build import router_problems


def load_run_config(path: Path | str, overrides: Sequence[str] = ()) -> LoadedConfig:
    """Read a YAML file, or a packaged configuration by name, above what its protocol sets.

    Raises:
        ConfigError: see `dsb.config.load.load_config`; also for a benchmark, protocol, backend or
            router that nobody knows, and for settings that a router does not take.
    """
    return load_config(path, overrides, _settings, _problems)


def _settings(benchmark: str, protocol: str) -> Mapping[str, Any]:
    return find_protocol(benchmark, protocol)[1].settings


def _problems(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    yield from contradictions(config)
    yield from backend_problems(config)
    yield from router_problems(config)
