"""Where the items of a benchmark lie under a data root, and how they are divided.

```
ROOT/final/all.json                  every item
ROOT/final/task_sets/<task>.json     the items of one task
ROOT/final/shards/<name>.json        parts for parallel runs: all items of a video stay together
ROOT/final/shards_mini/<name>.json   a few items of every task from each shard, for a quick look
ROOT/final/memory_ablation/*.json    items for comparing memories; no task, and in no division
```
ROOT is the folder of the items; that of the videos may be another one (`dsb.benchmarks.root`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsb.benchmarks.item import TASKS, Item, dump_items, load_items
from dsb.benchmarks.root import DataRoot
from dsb.errors import BenchmarkError

#: Folder below `final/`, and the name of its items in `dataset.benchmark`.
MEMORY_ABLATION = "memory_ablation"

_SHARD = re.compile(r"(\d+)/(\d+)")


def all_items_file(items_dir: Path) -> Path:
    """The file with every item."""
    return items_dir / "final" / "all.json"


def ablation_files(items_dir: Path) -> list[Path]:
    """The files of `final/memory_ablation` in the order of their names; none without that folder."""
    return sorted((items_dir / "final" / MEMORY_ABLATION).glob("*.json"))


def ablation_name(file: Path) -> str:
    """How `dataset.benchmark` names one file of `final/memory_ablation`."""
    return f"{MEMORY_ABLATION}/{file.stem}"


def item_files(items_dir: Path) -> list[Path]:
    """Every file of items below `final/`, the complete one first whether it is there or not."""
    complete = all_items_file(items_dir)
    return [complete, *(f for f in sorted((items_dir / "final").rglob("*.json")) if f != complete)]


def benchmark_items(root: DataRoot, benchmark: str) -> list[Item]:
    """The items that `benchmark` names, in the order of their file.

    It is `all`, a task, `memory_ablation` for all files of that folder together (see `joined`),
    `memory_ablation/NAME` for one of them, or a path: absolute, below the folder of the items or of
    the videos, or below the working folder. A task without a file of its own is taken out of
    `final/all.json`.

    Raises `BenchmarkError` if there is no such file, or if it is wrong.
    """
    if benchmark == MEMORY_ABLATION:
        files = ablation_files(root.items_dir)
        if not files:
            raise _no_items(root, benchmark, [root.items_dir / "final" / MEMORY_ABLATION])
        return joined(files)
    candidates = _candidates(root, benchmark)
    for candidate in candidates:
        if candidate.is_file():
            items = load_items(candidate)
            if benchmark in TASKS and candidate == all_items_file(root.items_dir):
                return [item for item in items if item.task == benchmark]
            return items
    raise _no_items(root, benchmark, candidates)


def _candidates(root: DataRoot, benchmark: str) -> list[Path]:
    complete = all_items_file(root.items_dir)
    if benchmark == "all":
        return [complete]
    if benchmark in TASKS:
        return [root.items_dir / "final" / "task_sets" / f"{benchmark}.json", complete]
    paths = [root.items_dir / benchmark, root.video_dir / benchmark, Path(benchmark)]
    if benchmark.startswith(f"{MEMORY_ABLATION}/"):
        paths.insert(0, root.items_dir / "final" / f"{benchmark.removesuffix('.json')}.json")
    return list(dict.fromkeys(paths))


def _no_items(root: DataRoot, benchmark: str, tried: Sequence[Path]) -> BenchmarkError:
    known = ", ".join(map(ablation_name, ablation_files(root.items_dir)))
    ablation = f"`{MEMORY_ABLATION}` or one of its files ({known}), " if known else ""
    return BenchmarkError(
        f"no items of benchmark {benchmark!r}: {' and '.join(map(str, tried))} not found. Give "
        f"`all`, a task ({', '.join(TASKS)}), {ablation}or the path of an items file, "
        "or set dataset.items_dir to the folder that holds `final/`; `dsb data synth OUT` makes a "
        "synthetic benchmark."
    )


def joined(files: Iterable[Path]) -> list[Item]:
    """The items of several files in order; one that occurs again, unchanged, counts once.

    Raises `BenchmarkError`, naming both files, if an id stands for two different items.
    """
    found: dict[str, tuple[Item, Path]] = {}
    for file in files:
        for item in load_items(file):
            known, first = found.setdefault(item.id, (item, file))
            if known != item:
                raise BenchmarkError(
                    f"{file}: item {item.id}: id: {first} holds a different item under this id; "
                    "rename one of them, or use the files one by one."
                )
    return [item for item, _ in found.values()]


def select_items(
    root: DataRoot,
    benchmark: str = "all",
    shard: str | None = None,
    max_samples: int | None = None,
) -> list[Item]:
    """The items that a run asks, in the order of `benchmark_items`.

    `shard` is `I/N` (the I-th of N parts, from 1) or the name of a file in `final/shards` or
    `final/shards_mini`; together with a `benchmark` it keeps the items that are in both.
    `max_samples` stops after that many items, except that a dialogue is never cut.

    Raises `BenchmarkError` for a missing or wrong file and for an impossible shard.
    """
    return take(benchmark_items(root, benchmark), root, shard, max_samples)


def take(
    items: list[Item], root: DataRoot, shard: str | None, max_samples: int | None
) -> list[Item]:
    """What `shard` and `max_samples` leave of `items`. Raises as `select_items`."""
    if shard is not None:
        numbered = _SHARD.fullmatch(shard)
        if numbered:
            items = _numbered_shard(items, int(numbered[1]), int(numbered[2]))
        else:
            wanted = {item.id for item in load_items(_shard_file(root.items_dir, shard))}
            items = [item for item in items if item.id in wanted]
    return items if max_samples is None else limit(items, max_samples)


def _numbered_shard(items: Sequence[Item], index: int, count: int) -> list[Item]:
    if not 1 <= index <= count:
        raise BenchmarkError(f"shard {index}/{count}: the index must lie between 1 and {count}.")
    return split(items, count)[index - 1]


def _shard_file(items_dir: Path, name: str) -> Path:
    stem = name.removesuffix(".json")
    folders = [items_dir / "final" / folder for folder in ("shards", "shards_mini")]
    for folder in folders:
        if (folder / f"{stem}.json").is_file():
            return folder / f"{stem}.json"
    raise BenchmarkError(
        f"shard {name!r}: no {stem}.json in {folders[0]} or {folders[1]}. Give `I/N`, or make "
        f"shards with `dsb data shard {items_dir} --shards N`."
    )


def limit(items: Sequence[Item], count: int) -> list[Item]:
    """The first `count` items, and the remaining exchanges of a dialogue that the limit would cut."""
    kept = list(items[:count])
    open_chains = {item.chain.id for item in kept if item.chain}
    kept += [item for item in items[count:] if item.chain and item.chain.id in open_chains]
    return kept


def split(items: Sequence[Item], count: int) -> list[list[Item]]:
    """`count` parts of similar size; all items of a video are in one part, so sessions stay whole.

    The largest videos are dealt first, each to the smallest part so far. Parts keep the order of
    `items` and can be empty when there are fewer videos than parts.
    """
    sizes = Counter(item.video for item in items)
    load = [0] * count
    part_of: dict[str, int] = {}
    for video, size in sizes.most_common():
        part = min(range(count), key=load.__getitem__)
        part_of[video] = part
        load[part] += size
    parts: list[list[Item]] = [[] for _ in range(count)]
    for item in items:
        parts[part_of[item.video]].append(item)
    return parts


def mini(items: Sequence[Item], per_task: int) -> list[Item]:
    """The first `per_task` items of every task, dialogues whole."""
    taken: list[Item] = []
    for task in TASKS:
        taken += limit([item for item in items if item.task == task], per_task)
    kept = {item.id for item in taken}
    return [item for item in items if item.id in kept]


def merge(collections: Iterable[Sequence[Item]]) -> list[Item]:
    """All items of several collections, in order. Raises `BenchmarkError` if two share an id."""
    merged: dict[str, Item] = {}
    for items in collections:
        for item in items:
            if item.id in merged:
                raise BenchmarkError(
                    f"item {item.id}: id: two items have it; rename one of them before merging."
                )
            merged[item.id] = item
    return list(merged.values())


def write_layout(
    items_dir: Path, items: Sequence[Item], shards: int = 1, per_task: int = 2
) -> None:
    """Write all items, task sets, shards and their minis below `final/`."""
    dump_items(items, all_items_file(items_dir))
    for task in TASKS:
        subset = [item for item in items if item.task == task]
        dump_items(subset, items_dir / "final" / "task_sets" / f"{task}.json")
    write_shards(items_dir, items, shards)
    write_minis(items_dir, items, shards, per_task)


def count_shards(items_dir: Path) -> int:
    """How many parts `final/shards` has; 1 if it has none."""
    return len(list((items_dir / "final" / "shards").glob("shard-*-of-*.json"))) or 1


def shard_names(count: int) -> list[str]:
    """File names, without suffix, of `count` shards."""
    return [f"shard-{index:03d}-of-{count:03d}" for index in range(1, count + 1)]


def write_shards(items_dir: Path, items: Sequence[Item], count: int) -> list[Path]:
    """Divide `final/shards` anew; returns the files. Shards of another division are removed."""
    return _write_parts(items_dir / "final" / "shards", split(items, count))


def write_minis(items_dir: Path, items: Sequence[Item], count: int, per_task: int) -> list[Path]:
    """Write `final/shards_mini` anew: `per_task` items of every task from each shard."""
    minis = [mini(part, per_task) for part in split(items, count)]
    return _write_parts(items_dir / "final" / "shards_mini", minis)


def _write_parts(folder: Path, parts: Sequence[Sequence[Item]]) -> list[Path]:
    files = [folder / f"{name}.json" for name in shard_names(len(parts))]
    for file, part in zip(files, parts, strict=True):
        dump_items(part, file)
    for old in set(folder.glob("shard-*-of-*.json")) - set(files):
        old.unlink()
    return files


@dataclass(frozen=True)
class TaskStats:
    """What a benchmark holds of one task."""

    items: int
    videos: int
    #: Items per answering format.
    formats: dict[str, int]
    #: Items per category.
    categories: dict[str, int]
    #: Mean probability that a uniform guess is right, over the scored items where it is known.
    chance: float | None
    #: Median of the seconds from first evidence to question, over scored items with evidence.
    lookback_s: float | None
    #: Triggers of all proactive items.
    triggers: int


def stats(items: Sequence[Item]) -> dict[str, TaskStats]:
    """Statistics per task, for the tasks that occur, in the order of `TASKS`; and `overall`."""
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.task].append(item)
    result: dict[str, TaskStats] = {}
    for task in TASKS:
        if groups[task]:
            result[task] = _task_stats(groups[task])
    result["overall"] = _task_stats(items)
    return result


def root_stats(items_dir: Path) -> dict[str, TaskStats]:
    """`stats` of every item, then of each file of `memory_ablation` under its name for a run."""
    result = stats(load_items(all_items_file(items_dir)))
    for file in ablation_files(items_dir):
        result[ablation_name(file)] = _task_stats(load_items(file))
    return result


def _task_stats(items: Sequence[Item]) -> TaskStats:
    scored = [item for item in items if item.scored]
    chances = [item.chance for item in scored if item.chance is not None]
    lookbacks = sorted(item.lookback_s for item in scored if item.evidence_s and item.answer)
    return TaskStats(
        items=len(items),
        videos=len({item.video for item in items}),
        formats=dict(sorted(Counter(item.format for item in items).items())),
        categories=dict(sorted(Counter(item.category for item in items).items())),
        chance=sum(chances) / len(chances) if chances else None,
        lookback_s=lookbacks[len(lookbacks) // 2] if lookbacks else None,
        triggers=sum(len(item.triggers_s or ()) for item in items),
    )
