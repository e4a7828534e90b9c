"""`dsb experiment stride`: how many temporal patches should be prefilled together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dsb.config.schema import RunConfig
from dsb.errors import ConfigError, ReportError
from dsb.evaluation.progress import Observer
from dsb.evaluation.run import Notice
from dsb.experiments.backlog import Backlog, Ingest, backlog
from dsb.experiments.measure import Agreement, Measured, agreement
from dsb.experiments.variants import Variant, run_variants
from dsb.runlog.folder import read_manifest


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
    config: RunConfig,
    origins: Mapping[str, str],
    strides: Sequence[int],
    speeds: Sequence[int],
    folder: Path,
    *,
    fresh: bool = False,
    observer: Observer | None = None,
    notice: Notice | None = None,
) -> StrideResult:
    """Run `config` with `reuse: kv` and every stride.

    Args:
        config: what to run.
        origins: where its values were set.
        strides: values of `prefill_stride`; the answers of the first are the reference.
        speeds: how many times faster than the clock of the video frames come, for the simulated backlog.
        folder: of the runs.
        fresh: set earlier runs aside.
        observer: hears of progress.
        notice: hears of everything else.

    Raises:
        ConfigError: a stride or speed is not positive or given twice.
        ReportError: nothing was read ahead, so there is nothing to find out about strides.
        RunError: a variant could not be completed.
    """
    for name, values in (("strides", strides), ("speeds", speeds)):
        if not values or min(values) < 1 or len(set(values)) < len(values):
            raise ConfigError(f"{name} must be different positive numbers, not {list(values)}")
    variants = [Variant(f"stride-{n}", {"reuse": "kv", "prefill_stride": n}) for n in strides]
    found = run_variants(
        config, origins, variants, folder, fresh=fresh, observer=observer, notice=notice
    )
    if not all(each.prefill_ns for each in found):
        raise ReportError(
            "no system of this configuration reads frames before it is asked, so a stride changes nothing; set "
            "system.s2.window.kv=evict and leave system.s2.window.fps out"
        )
    rows = [
        StrideRow(stride, each, agreement(found[0], each), _backlogs(config, stride, each, speeds))
        for stride, each in zip(strides, found, strict=True)
    ]
    return StrideResult(rows, config.video.fps, speeds)


def _backlogs(
    config: RunConfig, stride: int, found: Measured, speeds: Sequence[int]
) -> dict[int, Backlog]:
    models = read_manifest(found.run_dir)["models"]
    ingest = Ingest(
        span=max(int(model["span"]) for model in models.values()),
        stride=stride,
        encode_ns_per_frame=found.encode_ns / found.frames_encoded,
        prefill_ns_per_frame=found.prefill_ns / found.frames_encoded,
    )
    frames = found.longest_session
    return {speed: backlog(ingest, frames, config.video.fps * speed) for speed in speeds}
