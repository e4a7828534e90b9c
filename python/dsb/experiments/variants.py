"""One configuration in several variants, each of them an ordinary run that can be resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsb.config.load import LoadedConfig
from dsb.config.schema import ModelConfig
from dsb.errors import RunError
from dsb.evaluation.display import QUIET, Display
from dsb.evaluation.progress import Progress
from dsb.evaluation.run import execute
from dsb.experiments.measure import Measured, measure
from dsb.runlog.run import open_run

#: Below the folder of an experiment.
RUNS = "runs"


@dataclass(frozen=True)
class Variant:
    """A name and what it changes in the section `system.streaming_embed_cache`."""

    name: str
    cache: Mapping[str, Any]

    def applied(self, loaded: LoadedConfig, folder: Path) -> LoadedConfig:
        """The configuration with the change, its runs below `folder`.

        Every variant has a run of its own, because fields of operation such as `prefill_stride` are no part of
        a run's identity.
        """
        config = loaded.config
        cache = config.system.streaming_embed_cache.model_copy(update=dict(self.cache))
        system = config.system.model_copy(update={"streaming_embed_cache": cache})
        output = config.output.model_copy(update={"dir": str(folder / RUNS), "name": self.name})
        changed = config.model_copy(update={"system": system, "output": output})
        keys = [f"system.streaming_embed_cache.{name}" for name in self.cache]
        origin = f"variant {self.name}"
        origins = dict.fromkeys([*keys, "output.dir", "output.name"], origin)
        return LoadedConfig(changed, loaded.origins | origins)


def run_variants(
    loaded: LoadedConfig,
    variants: Sequence[Variant],
    folder: Path,
    *,
    fresh: bool = False,
    display: Display = QUIET,
) -> list[Measured]:
    """Run every variant that is not complete yet, and measure all of them.

    Raises:
        RunError: a variant could not be completed; what is there is kept and the same call goes on.
        KeyboardInterrupt: likewise.
        Whatever `execute` raises.
    """
    found = []
    for variant in variants:
        display.note(f"variant {variant.name}")
        result = execute(
            variant.applied(loaded, folder),
            resume=not fresh,
            fresh=fresh,
            display=_Prefixed(display, variant.name),
        )
        if result.state == "interrupted":
            raise KeyboardInterrupt
        if result.state != "complete" or result.queries.failed:
            raise RunError(
                f"variant {variant.name} is not complete ({result.queries.failed} of {result.queries.total} queries "
                f"failed{': ' + result.reason if result.reason else ''}); `dsb results check {result.run_dir}` says "
                "what is missing, and the same command goes on from here"
            )
        found.append(measure(variant.name, open_run(result.run_dir)))
    return found


@dataclass(frozen=True)
class _Prefixed:
    """A display that is told which variant a remark is about."""

    display: Display
    name: str

    def progress(self, now: Progress) -> None:
        self.display.progress(now)

    def note(self, text: str) -> None:
        self.display.note(f"{self.name}: {text}")

    def bring(self, model: ModelConfig) -> None:
        self.display.bring(model)
