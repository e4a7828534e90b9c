"""`dsb data`, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dsb.benchmarks.item import load_items
from dsb.cli.data import app
from dsb.errors import BenchmarkError

VERBS = ("synth", "validate", "stats", "merge", "shard", "mini")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "synth"
    result = call("synth", out, "--sessions", 2, "--level", "easy", "--per-format", 1, "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert (made["data_dir"], made["sessions"], made["videos_written"]) == (str(out), 2, 2)
    assert made["items"] == len(load_items(out / "final" / "all.json"))
    return out


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_has_an_example_and_the_exit_codes(verb: str) -> None:
    result = call(verb, "--help")
    assert result.exit_code == 0
    assert f"Example: dsb data {verb} " in " ".join(result.output.split())
    assert "Exit status: 0 done" in result.output


def test_synth_says_where_things_are_and_what_comes_next(data: Path) -> None:
    result = call("synth", data, "--sessions", 2, "--level", "easy", "--per-format", 1)
    assert result.exit_code == 0
    assert str(data / "final" / "all.json") in result.stdout
    assert "next: dsb run" in result.stdout
    assert "sequential" in result.stdout


def test_synth_refuses_a_seed_out_of_range(tmp_path: Path) -> None:
    assert call("synth", tmp_path, "--seed", 10_000).exit_code == 2


def test_validate_passes_what_synth_made(data: Path) -> None:
    result = call("validate", data, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["errors"], report["findings"]) == (0, [])
    assert report["files"] >= 1 + 5 + 1


def test_validate_reports_file_item_field_and_remedy(data: Path, tmp_path: Path) -> None:
    raw = json.loads((data / "final" / "all.json").read_text())["items"]
    first, second = raw[-2:]
    first["ask_time_s"] = 1e6
    second["video"] = "videos/gone.mp4"
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(raw))
    result = call("validate", wrong, "--data-dir", data, "--json")
    assert result.exit_code == 2
    found = {(f["item"], f["field"]): f for f in json.loads(result.stdout)["findings"]}
    assert "ends at 60" in found[first["id"], "ask_time_s"]["cause"]
    assert "no such file" in found[second["id"], "video"]["cause"]
    assert all(f["file"] == str(wrong) and f["remedy"] for f in found.values())


def test_validate_is_told_where_the_videos_of_a_data_root_lie(data: Path, tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "all.json").write_text((data / "final" / "all.json").read_text())
    assert call("validate", tmp_path, "--no-decode").exit_code == 2
    assert call("validate", tmp_path, "--no-decode", "--data-dir", data).exit_code == 0


def test_validate_without_videos_reads_no_video(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "items.json"
    copy.write_text((data / "final" / "all.json").read_text())
    assert call("validate", copy).exit_code == 2
    assert call("validate", copy, "--no-videos").exit_code == 0


def test_stats_counts_every_task(data: Path) -> None:
    counted = json.loads(call("stats", data, "--json").stdout)
    items = load_items(data / "final" / "all.json")
    assert counted["overall"]["items"] == len(items)
    assert sum(counted[task]["items"] for task in counted if task != "overall") == len(items)
    assert "look-back" in call("stats", data).stdout


def test_shard_and_mini_rewrite_the_parts(data: Path) -> None:
    files = json.loads(call("shard", data, "--shards", 2, "--json").stdout)["files"]
    assert [Path(file).name for file in files] == [
        "shard-001-of-002.json",
        "shard-002-of-002.json",
    ]
    videos = [{item.video for item in load_items(Path(file))} for file in files]
    assert not videos[0] & videos[1]
    minis = json.loads(call("mini", data, "--per-task", 1, "--json").stdout)["files"]
    assert len(minis) == 2


def test_merge_joins_items_and_videos(data: Path, tmp_path: Path) -> None:
    other, out = tmp_path / "other", tmp_path / "all"
    assert call("synth", other, "--sessions", 1, "--level", "easy", "--seed", 9).exit_code == 0
    merged = json.loads(call("merge", out, data, other, "--json").stdout)
    parts = [load_items(root / "final" / "all.json") for root in (data, other)]
    assert merged["items"] == sum(map(len, parts))
    assert call("validate", out).exit_code == 0


def test_merge_refuses_the_same_items_twice(data: Path, tmp_path: Path) -> None:
    result = call("merge", tmp_path / "all", data, data)
    assert isinstance(result.exception, BenchmarkError)
    assert "two items" in str(result.exception)


def test_a_missing_data_root_is_one_clear_error(tmp_path: Path) -> None:
    result = call("stats", tmp_path / "nowhere")
    assert isinstance(result.exception, BenchmarkError)
    assert "dsb data synth" in str(result.exception)
