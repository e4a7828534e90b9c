"""A benchmark that lies as `dsb-items/1` files under a data root."""

from __future__ import annotations

from collections.abc import Mapping

from dsb.benchmarks.benchmark import Benchmark
from dsb.benchmarks.grading import Delivered, Grade, grade_item
from dsb.benchmarks.item import Item
from dsb.benchmarks.layout import select_items
from dsb.benchmarks.protocol import Protocol
from dsb.benchmarks.root import DataRoot


class ItemFiles:
    """Items from files, graded by the general rules; a base for benchmarks with rules of their own."""

    name = "items"
    protocols: Mapping[str, Protocol] = {"default": Protocol("default")}

    def items(
        self,
        root: DataRoot,
        benchmark: str = "all",
        shard: str | None = None,
        max_samples: int | None = None,
    ) -> list[Item]:
        """The selected items in the order of their files; see `layout.select_items`."""
        return select_items(root, benchmark, shard, max_samples)

    def grade(self, protocol: Protocol, item: Item, delivered: Delivered) -> Grade:
        """See `grading.grade_item`."""
        return grade_item(protocol, item, delivered)


#: Registered as `items`, and as `synth`, whose streams the configuration makes first.
ITEM_FILES: Benchmark = ItemFiles()
