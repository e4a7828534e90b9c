"""Where items and videos lie: in one folder, side by side, or where the user says."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsb.benchmarks.root import DataRoot, find_root, root_of
from dsb.config.schema import DatasetConfig, SynthConfig


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    """`data` with the videos beside `final`, and `plain` with both in one folder."""
    for folder in ("data", "final", "plain/final"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_a_folder_that_holds_final_is_a_data_root_whatever_lies_above(datasets: Path) -> None:
    assert find_root(datasets / "plain") == DataRoot.at(datasets / "plain")


def test_a_folder_of_videos_beside_final_has_its_items_there_and_says_so(datasets: Path) -> None:
    root = find_root(datasets / "data")
    assert (root.items_dir, root.video_dir) == (datasets, datasets / "data")
    assert root.note == (
        f"{datasets / 'data'} holds no `final/`, but {datasets} does: items are looked for there, "
        f"videos below {datasets / 'data'}"
    )


def test_items_that_were_told_are_neither_looked_for_nor_remarked_on(datasets: Path) -> None:
    told = find_root(datasets / "data", datasets / "plain")
    assert told == DataRoot(datasets / "plain", datasets / "data")
    assert told.note == ""


def test_without_final_anywhere_the_items_are_expected_with_the_videos(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    assert find_root(tmp_path / "videos") == DataRoot.at(tmp_path / "videos")


def test_a_misspelled_folder_does_not_become_its_parent(datasets: Path) -> None:
    assert find_root(datasets / "dta") == DataRoot.at(datasets / "dta")


@pytest.mark.parametrize(
    ("working", "data_dir", "items_dir"),
    [
        (".", "data", "."),
        ("data", ".", ".."),
        ("plain", "../data", ".."),
        ("data/deep", "..", "../.."),
    ],
)
def test_a_relative_folder_stays_relative(
    datasets: Path, monkeypatch: pytest.MonkeyPatch, working: str, data_dir: str, items_dir: str
) -> None:
    (datasets / working).mkdir(exist_ok=True)
    monkeypatch.chdir(datasets / working)
    assert find_root(Path(data_dir)).items_dir == Path(items_dir)


def test_a_link_to_videos_elsewhere_counts_where_it_lies(datasets: Path, tmp_path: Path) -> None:
    (tmp_path / "disk" / "videos").mkdir(parents=True)
    (datasets / "linked").symlink_to(tmp_path / "disk" / "videos")
    assert find_root(datasets / "linked").items_dir == datasets


def test_a_run_finds_its_items_as_its_configuration_says(datasets: Path) -> None:
    videos, plain = str(datasets / "data"), str(datasets / "plain")
    assert root_of(DatasetConfig(data_dir=videos)) == find_root(datasets / "data")
    told = root_of(DatasetConfig(data_dir=videos, items_dir=plain))
    assert told == DataRoot(datasets / "plain", datasets / "data")


def test_streams_that_a_run_makes_bring_their_items_along(datasets: Path) -> None:
    made = DatasetConfig(data_dir=str(datasets / "data"), synth=SynthConfig())
    assert root_of(made) == DataRoot.at(datasets / "data")
