"""A file is the old one or the new one, and nothing is left lying about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsb.atomic import replacing, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folders_are_made_and_the_content_is_there(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {"ü": [1.5, None]})
    assert json.loads((tmp_path / "a" / "b.json").read_text(encoding="utf-8")) == {"ü": [1.5, None]}
    assert names(tmp_path / "a") == ["b.json"]


def test_a_failure_halfway_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"ne", None])  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert names(tmp_path) == ["kept.txt"]


def test_readers_see_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "seen.txt"
    write_text(path, "old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_what_json_cannot_say_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "nan.json", float("nan"))
    assert names(tmp_path) == []
