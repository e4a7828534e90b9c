"""What a benchmark is to the rest of the program: items, and rules by which answers are graded.

`item_files.ItemFiles` is any benchmark that lies as `dsb-items/1` files under a data root. A
benchmark with rules of its own brings another class with the same methods.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping

from dsb.benchmarks.grading import Delivered, Grade
from dsb.benchmarks.item import Item
from dsb.benchmarks.protocol import Protocol
from dsb.benchmarks.root import DataRoot


@typing.runtime_checkable
class Benchmark(typing.Protocol):
    """A source of items that knows how they are graded."""

    name: str
    #: By name; `default` is always there.
    protocols: Mapping[str, Protocol]

    def items(
        self,
        root: DataRoot,
        benchmark: str = "all",
        shard: str | None = None,
        max_samples: int | None = None,
    ) -> list[Item]:
        """The items of a run. Raises `BenchmarkError` for missing or wrong files."""

    def grade(self, protocol: Protocol, item: Item, delivered: Delivered) -> Grade:
        """What `delivered` is worth; the only scorer there is. What cannot be read is wrong."""
