"""`dsb experiment reuse`: what reusing encoded and read frames saves, and whether an answer changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsb.config.load import LoadedConfig
from dsb.evaluation.display import QUIET, Display
from dsb.experiments.measure import Agreement, Measured, agreement
from dsb.experiments.variants import Variant, run_variants

#: The first one is the reference.
REUSE = ("none", "embed", "kv")


@dataclass(frozen=True)
class ReuseRow:
    """One setting of `reuse`."""

    reuse: str
    measured: Measured
    #: With the answers under `none`.
    agreement: Agreement

    @property
    def evicts(self) -> bool:
        """Keys and values outlived frames that they had attended to: another attention pattern than `none`."""
        return self.measured.patches_evicted > 0


def run_reuse(
    loaded: LoadedConfig,
    folder: Path,
    *,
    fresh: bool = False,
    display: Display = QUIET,
) -> Sequence[ReuseRow]:
    """Run `loaded` under every setting of `reuse`, its runs in `folder`.

    Raises `RunError` when a variant could not be completed.
    """
    variants = [Variant(reuse, {"reuse": reuse}) for reuse in REUSE]
    found = run_variants(loaded, variants, folder, fresh=fresh, display=display)
    return [
        ReuseRow(reuse, each, agreement(found[0], each))
        for reuse, each in zip(REUSE, found, strict=True)
    ]
