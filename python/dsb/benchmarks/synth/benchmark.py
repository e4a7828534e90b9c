"""The synthetic set as a benchmark: it can make its own data."""

from __future__ import annotations

from pathlib import Path

from dsb.benchmarks.benchmark import Benchmark, ItemFiles
from dsb.benchmarks.synth.generate import Generated, Plan, Progress, generate


class SynthBenchmark(ItemFiles):
    """Streams with exact ground truth; scored like any items files."""

    name = "synth"

    def prepare(self, data_dir: Path, plan: Plan, progress: Progress | None = None) -> Generated:
        """Make what is missing of `plan` under `data_dir`; see `generate` for the errors."""
        return generate(data_dir, plan, progress=progress)


#: Registered as `synth`.
SYNTH: Benchmark = SynthBenchmark()
