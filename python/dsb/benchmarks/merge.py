"""Join several data roots into one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from dsb.benchmarks.item import Item, load_items
from dsb.benchmarks.layout import all_items_file, merge, write_layout
from dsb.benchmarks.root import DataRoot
from dsb.errors import BenchmarkError


def merge_roots(out: Path, roots: Sequence[DataRoot], shards: int = 1) -> list[Item]:
    """Write the items of all `roots` to `out`, with their videos beside them.

    Videos are hard links where the file system allows it, otherwise copies. `out` must not hold a
    benchmark yet.

    Raises `BenchmarkError` when an item id occurs twice, when two videos share a path, when a video
    is missing, or when `out` is in use.
    """
    if all_items_file(out).exists():
        raise BenchmarkError(f"{out}: holds a benchmark already. Choose another folder.")
    collections = [load_items(all_items_file(root.items_dir)) for root in roots]
    items = merge(collections)
    origin: dict[str, DataRoot] = {}
    for root, collection in zip(roots, collections, strict=True):
        for video in dict.fromkeys(item.video for item in collection):
            if video in origin:
                raise BenchmarkError(
                    f"{root.video_dir}: video {video!r} is in {origin[video].video_dir} as well. "
                    "Rename one of them."
                )
            origin[video] = root
    for video, root in origin.items():
        _place(root.video_dir / video, out / video)
    write_layout(out, items, shards)
    return items


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            temporary.hardlink_to(source)
        except FileNotFoundError:
            raise BenchmarkError(
                f"{source}: no such video. `dsb data validate` lists all that are missing."
            ) from None
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
