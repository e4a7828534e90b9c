"""The files of `final/memory_ablation`: asked together or one by one, merged, counted, checked."""

from __future__ import annotations

from pathlib import Path

import pytest

import videos
from dsb.benchmarks.item import Item, dump_items, load_items
from dsb.benchmarks.layout import (
    ablation_files,
    benchmark_items,
    item_files,
    root_stats,
    select_items,
    write_layout,
)
from dsb.benchmarks.merge import merge_roots
from dsb.benchmarks.root import DataRoot
from dsb.benchmarks.validate import validate_files
from dsb.errors import BenchmarkError
from sessions import question


def ask(name: str, at: float = 1.0, video: str = "a.mp4", **more: object) -> Item:
    return question(name, at, video, **more)


def ablate(items_dir: Path, **files: list[Item]) -> None:
    for name, items in files.items():
        dump_items(items, items_dir / "final" / "memory_ablation" / f"{name}.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two items of the benchmark; one of them, and two others, for comparing memories."""
    write_layout(tmp_path, [ask("one"), ask("two")])
    ablate(tmp_path, near=[ask("one"), ask("near")], far=[ask("far"), ask("one")])
    return tmp_path


def ids(folder: Path, benchmark: str, **how: object) -> list[str]:
    return [i.id for i in select_items(DataRoot.at(folder), benchmark, **how)]  # type: ignore[arg-type]


# -- running them -----------------------------------------------------------------------------


def test_all_files_are_asked_in_the_order_of_their_names_and_no_item_twice(folder: Path) -> None:
    assert ids(folder, "memory_ablation") == ["far", "one", "near"]


@pytest.mark.parametrize(
    "name",
    [
        "memory_ablation/near",
        "memory_ablation/near.json",
        "final/memory_ablation/near.json",
        "{folder}/final/memory_ablation/near.json",
    ],
)
def test_one_file_is_asked_by_its_name_or_path(folder: Path, name: str) -> None:
    assert ids(folder, name.format(folder=folder)) == ["one", "near"]


def test_they_are_part_of_nothing_else(folder: Path) -> None:
    assert ids(folder, "all") == ["one", "two"]
    assert ids(folder, "realtime") == ["one", "two"]


def test_they_can_be_divided_for_a_run(folder: Path) -> None:
    ablate(folder, far=[ask("far", video="b.mp4")])
    parts = [ids(folder, "memory_ablation", shard=f"{n}/2") for n in (1, 2)]
    assert parts == [["one", "near"], ["far"]]
    assert ids(folder, "memory_ablation", max_samples=1) == ["far"]


def test_an_id_that_stands_for_two_items_names_both_files(folder: Path) -> None:
    ablate(folder, other=[ask("one", at=2.0)])
    with pytest.raises(
        BenchmarkError,
        match=r"other\.json: item one: id: .*far\.json holds a different item under this id",
    ):
        ids(folder, "memory_ablation")
    assert ids(folder, "memory_ablation/other") == ["one"]


def test_a_name_that_is_not_there_lists_those_that_are(folder: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"\(memory_ablation/far, memory_ablation/near\)"):
        ids(folder, "memory_ablation/nowhere")


def test_a_benchmark_without_them_says_where_they_were_expected(tmp_path: Path) -> None:
    write_layout(tmp_path, [ask("one")])
    with pytest.raises(BenchmarkError, match=r"final/memory_ablation not found") as caught:
        ids(tmp_path, "memory_ablation")
    assert "one of its files" not in str(caught.value)


def test_a_path_is_looked_for_with_the_items_and_with_the_videos(folder: Path) -> None:
    dump_items([ask("beside")], folder / "data" / "mine.json")
    root = DataRoot(folder, folder / "data")
    assert [i.id for i in benchmark_items(root, "mine.json")] == ["beside"]
    assert len(benchmark_items(root, "final/memory_ablation/far.json")) == 2


# -- counting, merging, checking --------------------------------------------------------------


def test_each_file_is_counted_under_the_name_that_a_run_takes(folder: Path) -> None:
    counted = {name: each.items for name, each in root_stats(folder).items()}
    names = {"memory_ablation/far": 2, "memory_ablation/near": 2}
    assert counted == {"realtime": 2, "overall": 2, **names}
    assert all(benchmark_items(DataRoot.at(folder), name) for name in names)


@pytest.fixture
def others(tmp_path: Path) -> DataRoot:
    """Another data root, with its videos beside its items."""
    datasets = tmp_path / "others"
    write_layout(datasets, [ask("three", video="b.mp4")])
    ablate(datasets, near=[ask("three", video="b.mp4")], late=[ask("late", video="c.mp4")])
    for name in ("b.mp4", "c.mp4"):
        (datasets / "data").mkdir(exist_ok=True)
        (datasets / "data" / name).write_text(name)
    return DataRoot(datasets, datasets / "data")


def test_merging_joins_files_of_one_name_and_brings_their_videos(
    folder: Path, others: DataRoot, tmp_path: Path
) -> None:
    (folder / "a.mp4").write_text("a.mp4")
    out = tmp_path / "out"
    merged = merge_roots(out, [DataRoot.at(folder), others])
    assert [item.id for item in merged.items] == ["one", "two", "three"]
    files = {file.stem: [i.id for i in load_items(file)] for file in ablation_files(out)}
    assert files == {"far": ["far", "one"], "late": ["late"], "near": ["one", "near", "three"]}
    assert {name: [i.id for i in part] for name, part in merged.memory_ablation.items()} == files
    assert [(out / f"{name}.mp4").read_text()[0] for name in "abc"] == ["a", "b", "c"]


def test_merging_refuses_an_id_that_stands_for_two_items(
    folder: Path, others: DataRoot, tmp_path: Path
) -> None:
    (folder / "a.mp4").write_text("a.mp4")
    ablate(others.items_dir, near=[ask("near", at=2.0, video="b.mp4")])
    with pytest.raises(BenchmarkError, match=r"others.*near\.json: item near: id: .*near\.json"):
        merge_roots(tmp_path / "out", [DataRoot.at(folder), others])
    assert not (tmp_path / "out").exists()


def test_merging_refuses_two_videos_of_one_name_also_when_only_an_ablation_has_them(
    folder: Path, others: DataRoot, tmp_path: Path
) -> None:
    ablate(folder, far=[ask("far", video="c.mp4")])
    with pytest.raises(BenchmarkError, match=r"others/data: video 'c\.mp4' is in "):
        merge_roots(tmp_path / "out", [DataRoot.at(folder), others])


def test_their_videos_and_times_are_checked_too(folder: Path) -> None:
    videos.constant(folder).path.rename(folder / "a.mp4")
    assert validate_files(item_files(folder), folder) == []
    ablate(folder, near=[ask("late", at=60.0), ask("lost", video="lost.mp4")])
    found = [(f.file, f.item, f.field) for f in validate_files(item_files(folder), folder)]
    near = str(folder / "final" / "memory_ablation" / "near.json")
    assert found == [(near, "late", "ask_time_s"), (near, "lost", "video")]


def test_a_video_is_checked_once_for_all_files(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    video = videos.constant(folder).path.rename(folder / "a.mp4")

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        video.unlink(missing_ok=True)

    assert validate_files(item_files(folder), folder, progress=progress) == []
    assert seen == [(1, 1)] * 3


def test_an_id_that_stands_for_two_items_is_found(folder: Path) -> None:
    ablate(folder, other=[ask("one", at=2.0)])
    (finding,) = validate_files(item_files(folder))
    assert (Path(finding.file).name, finding.item, finding.field) == ("other.json", "one", "id")
    assert "far.json holds a different item" in finding.cause
