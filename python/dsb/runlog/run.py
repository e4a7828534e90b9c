"""The one way to look at a run: its folder, what was written into it once, and its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dsb.benchmarks.item import Item
from dsb.config.schema import RunConfig
from dsb.runlog.folder import Manifest, read_config, read_gold, read_manifest
from dsb.runlog.log import Attempt, attempts, done_sessions, read_attempts, segments
from dsb.runlog.records import Record
from dsb.runlog.run_data import RunData, tabulate


@dataclass(frozen=True)
class Run:
    """One run as it was when it was looked at.

    Each part is read when it is first asked for, and kept. All of them raise `RunError` with the
    file and the remedy where it is missing or damaged.
    """

    path: Path

    @cached_property
    def manifest(self) -> Manifest:
        """Which run this is, and what was planned."""
        return read_manifest(self.path)

    @cached_property
    def config(self) -> RunConfig:
        """What it was begun with."""
        return read_config(self.path)

    @cached_property
    def items(self) -> Sequence[Item]:
        """Its items with their answers, in the order of the benchmark."""
        return read_gold(self.path)

    @cached_property
    def segments(self) -> Sequence[Path]:
        """Files of the log."""
        return segments(self.path)

    @cached_property
    def attempts(self) -> Sequence[Attempt]:
        """Every attempt of every session; cheap beside `data`."""
        return attempts(self.path)

    @cached_property
    def done(self) -> Mapping[str, Attempt]:
        """Session -> the attempt that counts: the last complete one."""
        return done_sessions(self.attempts)

    @cached_property
    def data(self) -> RunData:
        """What the complete sessions found; reads the whole log."""
        return tabulate(self.items, self.records())

    def records(self) -> Iterator[Record]:
        """The records that count: of each session those of its last complete attempt."""
        return read_attempts(self.done.values())


def open_run(run_dir: Path | str) -> Run:
    """The run in this folder.

    Raises `RunError` if the folder holds none, or if its manifest is damaged.
    """
    run = Run(Path(run_dir))
    # Written last: with it the run exists.
    _ = run.manifest
    return run
