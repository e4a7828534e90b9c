"""`dsb experiment stride`: how many temporal patches should be prefilled together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dsb.config.load import LoadedConfig
from dsb.errors import ConfigError, ReportError
from dsb.evaluation.display import QUIET, Display
from dsb.experiments.backlog import Backlog, Ingest, backlog
from dsb.experiments.measure import Agreement, Measured, agreement
from dsb.experiments.variants import Variant, run_variants
from dsb.runlog.run import open_run


@dataclass(frozen=True)
class StrideRow:
    """One `prefill_stride`."""

    stride: int
    measured: Measured
    #: With the answers of the first stride.
    agreement: Agreement
    #: Speed-up of the stream -> frames that wait.
    backlog: Mapping[int, Backlog]


@dataclass(frozen=True)
class StrideResult:
    """Every stride, in the order asked for."""

    rows: Sequence[StrideRow]
    fps: Fraction
    speeds: Sequence[int]

    @property
    def identical(self) -> bool:
        """Whether the stride changed no answer."""
        return all(row.agreement.identical for row in self.rows)


def run_stride(
    loaded: LoadedConfig,
    strides: Sequence[int],
    speeds: Sequence[int],
    folder: Path,
    *,
    fresh: bool = False,
    display: Display = QUIET,
) -> StrideResult:
    """Run `loaded` with `reuse: kv` and every stride.

    Args:
        loaded: what to run, and where its values were set.
        strides: values of `prefill_stride`; the answers of the first are the reference.
        speeds: how many times faster than the clock of the video frames come, for the simulated backlog.
        folder: of the runs.
        fresh: set earlier runs aside.
        display: hears how it goes.

    Raises:
        ConfigError: a stride or speed is not positive or given twice.
        ReportError: nothing was read ahead, so there is nothing to find out about strides.
        RunError: a variant could not be completed.
    """
    for name, values in (("strides", strides), ("speeds", speeds)):
        if not values or min(values) < 1 or len(set(values)) < len(values):
            raise ConfigError(f"{name} must be different positive numbers, not {list(values)}")
    variants = [Variant(f"stride-{n}", {"reuse": "kv", "prefill_stride": n}) for n in strides]
    found = run_variants(loaded, variants, folder, fresh=fresh, display=display)
    if not all(each.prefill_ns for each in found):
        raise ReportError(
            "no system of this configuration reads frames before it is asked, so a stride changes nothing; set "
            "system.s2.window.kv=evict and leave system.s2.window.fps out"
        )
    fps = loaded.config.video.fps
    rows = [
        StrideRow(stride, each, agreement(found[0], each), _backlogs(fps, stride, each, speeds))
        for stride, each in zip(strides, found, strict=True)
    ]
    return StrideResult(rows, fps, speeds)


def _backlogs(
    fps: Fraction, stride: int, found: Measured, speeds: Sequence[int]
) -> dict[int, Backlog]:
    models = open_run(found.run_dir).manifest.models
    ingest = Ingest(
        span=max(int(model["span"]) for model in models.values()),
        stride=stride,
        encode_ns_per_frame=found.encode_ns / found.frames_encoded,
        prefill_ns_per_frame=found.prefill_ns / found.frames_encoded,
    )
    frames = found.longest_session
    return {speed: backlog(ingest, frames, fps * speed) for speed in speeds}
