"""One configuration in several variants, each of them an ordinary run that can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsb.config.schema import RunConfig
from dsb.errors import RunError
from dsb.evaluation.progress import Observer
from dsb.evaluation.run import Notice, execute
from dsb.experiments.measure import Measured, measure

#: Below the folder of an experiment.
RUNS = "runs"


@dataclass(frozen=True)
class Variant:
    """A name and what it changes in the section `system.streaming_embed_cache`."""

    name: str
    cache: Mapping[str, Any]

    def applied(self, config: RunConfig, folder: Path) -> RunConfig:
        """`config` with the change, its runs below `folder`.

        Every variant has a run of its own, because fields of operation such as `prefill_stride` are no part of
        a run's identity.
        """
        cache = config.system.streaming_embed_cache.model_copy(update=dict(self.cache))
        system = config.system.model_copy(update={"streaming_embed_cache": cache})
        output = config.output.model_copy(update={"dir": str(folder / RUNS), "name": self.name})
        return config.model_copy(update={"system": system, "output": output})


def run_variants(
    config: RunConfig,
    origins: Mapping[str, str],
    variants: Sequence[Variant],
    folder: Path,
    *,
    fresh: bool = False,
    observer: Observer | None = None,
    notice: Notice | None = None,
) -> list[Measured]:
    """Run every variant that is not complete yet, and measure all of them.

    Raises:
        RunError: a variant could not be completed; what is there is kept and the same call goes on.
        KeyboardInterrupt: likewise.
        Whatever `execute` raises.
    """
    found = []
    for variant in variants:
        tell: Notice = notice or (lambda _: None)
        tell(f"variant {variant.name}")
        result = execute(
            variant.applied(config, folder),
            origins,
            resume=not fresh,
            fresh=fresh,
            observer=observer,
            notice=_prefixed(tell, variant.name),
        )
        if result.state == "interrupted":
            raise KeyboardInterrupt
        if result.state != "complete" or result.queries.failed:
            raise RunError(
                f"variant {variant.name} is not complete ({result.queries.failed} of {result.queries.total} queries "
                f"failed{': ' + result.reason if result.reason else ''}); `dsb results check {result.run_dir}` says "
                "what is missing, and the same command goes on from here"
            )
        found.append(measure(variant.name, result.run_dir))
    return found


def _prefixed(tell: Notice, name: str) -> Callable[[str], None]:
    return lambda text: tell(f"{name}: {text}")
