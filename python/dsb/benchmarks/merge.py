"""Join several data roots into one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsb.benchmarks.item import Item, dump_items, load_items
from dsb.benchmarks.layout import (
    MEMORY_ABLATION,
    ablation_files,
    all_items_file,
    joined,
    merge,
    write_layout,
)
from dsb.benchmarks.root import DataRoot
from dsb.errors import BenchmarkError


@dataclass(frozen=True)
class Merged:
    """What a merged data root holds."""

    items: list[Item]
    #: Items of each file of `final/memory_ablation`, by its name without suffix.
    memory_ablation: dict[str, list[Item]]


def merge_roots(out: Path, roots: Sequence[DataRoot], shards: int = 1) -> Merged:
    """Write the items of all `roots` to `out`, with their videos beside them.

    Files of `final/memory_ablation` that have the same name become one. Videos are hard links where
    the file system allows it, otherwise copies. `out` must not hold a benchmark yet.

    Raises `BenchmarkError` when an item id occurs twice, when two videos share a path, when a video
    is missing, or when `out` is in use.
    """
    if all_items_file(out).exists():
        raise BenchmarkError(f"{out}: holds a benchmark already. Choose another folder.")
    collections = [load_items(all_items_file(root.items_dir)) for root in roots]
    items = merge(collections)
    by_name: dict[str, list[Path]] = {}
    for root in roots:
        for file in ablation_files(root.items_dir):
            by_name.setdefault(file.stem, []).append(file)
    ablation = {name: joined(files) for name, files in sorted(by_name.items())}
    for video, root in _origins(roots, collections).items():
        _place(root.video_dir / video, out / video)
    for name, subset in ablation.items():
        dump_items(subset, out / "final" / MEMORY_ABLATION / f"{name}.json")
    write_layout(out, items, shards)
    return Merged(items, ablation)


def _origins(
    roots: Sequence[DataRoot], collections: Sequence[Sequence[Item]]
) -> dict[str, DataRoot]:
    """Every video that an item names, and the root that it comes from."""
    origin: dict[str, DataRoot] = {}
    for root, collection in zip(roots, collections, strict=True):
        more = [item for file in ablation_files(root.items_dir) for item in load_items(file)]
        for video in dict.fromkeys(item.video for item in (*collection, *more)):
            if video in origin:
                raise BenchmarkError(
                    f"{root.video_dir}: video {video!r} is in {origin[video].video_dir} as well. "
                    "Rename one of them."
                )
            origin[video] = root
    return origin


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
