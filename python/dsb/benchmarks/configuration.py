"""The configuration of a run with all its layers: defaults < protocol < file < overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsb.benchmarks.build import find_protocol
from dsb.config.load import LoadedConfig, load_config


def load_run_config(path: Path | str, overrides: Sequence[str] = ()) -> LoadedConfig:
    """Read a YAML file, or a packaged configuration by name, above what its protocol sets.

    Raises:
        ConfigError: see `dsb.config.load.load_config`; also for a protocol that nobody knows.
        RegistryError: `dataset.format` names no benchmark.
    """
    return load_config(path, overrides, _settings)


def _settings(benchmark: str, protocol: str) -> Mapping[str, Any]:
    return find_protocol(benchmark, protocol)[1].settings
