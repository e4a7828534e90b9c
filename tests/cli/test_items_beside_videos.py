"""A data root whose items lie beside the folder of the videos, from configuration to report.

```
datasets/data/videos/*.mp4          dataset.data_dir: ../datasets/data
datasets/final/all.json             and task_sets/, shards/, shards_mini/, memory_ablation/
src/config.yaml                     the seven sections
```
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dsb.benchmarks.item import dump_items, load_items
from dsb.benchmarks.layout import limit
from dsb.benchmarks.synth.generate import Plan, generate
from dsb.cli.app import app

CONFIG = """
dataset:
  data_dir: ../datasets/data
  benchmark: all
  max_samples: 6
model:
  backend: qwen
  path: embedded
  dtype: float32
  quantization: none
  device: cpu
  threads: 1
video:
  fps: 1
system:
  s1:
    window: {max_frames: 4}
    answering: likelihood
  s2:
    window: {max_frames: 16}
    answering: likelihood
    retrieve: 2
    prompt: "{memory}{question}{options}"
  scheduler:
    router: {name: rule}
  streaming_embed_cache:
    reuse: kv
    prefill_stride: 2
memory:
  turns: 2
  long_term: true
  encoder: hash
stream:
  mode: stream
  clock: virtual
output:
  dir: results
  name: beside
"""
NOTE = "../datasets/data holds no `final/`, but ../datasets does"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One synthetic stream of 60 s in the layout above, and an empty folder to work in."""
    project = tmp_path_factory.mktemp("project")
    made, datasets = project / "made", project / "datasets"
    generate(made, Plan(sessions=1, level="easy", per_format=1, instructions=1))
    (datasets / "data").mkdir(parents=True)
    shutil.move(made / "videos", datasets / "data" / "videos")
    shutil.move(made / "final", datasets / "final")
    shutil.rmtree(made)
    items = load_items(datasets / "final" / "all.json")
    clues = [item for item in items if item.task == "clue"]
    assert len(clues) == 2
    for name, part in {"far": clues, "near": clues[:1]}.items():
        dump_items(part, datasets / "final" / "memory_ablation" / f"{name}.json")
    (project / "src").mkdir()
    (project / "src" / "config.yaml").write_text(CONFIG)
    (project / "work").mkdir()
    return project


@pytest.fixture(autouse=True)
def _work(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "work")


def dsb(*arguments: str) -> Result:
    """A command from `work`, which is neither the folder of the data nor of the configuration."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done


def test_a_run_plays_it_and_says_where_it_found_the_items() -> None:
    done = dsb("run", "../src/config.yaml", "--json")
    assert NOTE in done.stderr
    result = json.loads(done.stdout)
    assert (result["state"], result["queries"]["failed"]) == ("complete", 0)
    run_dir = Path(result["run_dir"])
    asked = limit(load_items(Path("../datasets/final/all.json")), 6)
    assert load_items(run_dir / "gold.json") == asked
    assert result["queries"]["done"] == len(asked)
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert manifest["data"]["data_dir"] == "../datasets/data"
    assert manifest["data"]["items_dir"] == "../datasets"

    told = dsb("run", "../src/config.yaml", "--json", "-s", "dataset.items_dir=../datasets")
    assert NOTE not in told.stderr
    assert json.loads(told.stdout)["run_dir"] == result["run_dir"], "the same data, the same run"
    assert "is reused" in told.stderr


@pytest.mark.parametrize(("benchmark", "queries"), [("", 2), ("/far", 2), ("/near", 1)])
def test_the_items_for_comparing_memories_are_a_benchmark(benchmark: str, queries: int) -> None:
    ablation = ("--benchmark", f"memory_ablation{benchmark}")
    done = dsb("run", "../src/config.yaml", "--json", *ablation)
    result = json.loads(done.stdout)
    assert (result["state"], result["queries"]["done"]) == ("complete", queries)


def test_a_dry_run_says_it_too() -> None:
    plan = dsb("run", "../src/config.yaml", "--dry-run", "--json")
    (note,) = json.loads(plan.stdout)["notes"]
    assert note.startswith(NOTE)
    assert f"note         {NOTE}" in dsb("run", "../src/config.yaml", "--dry-run").stdout


def test_every_verb_on_data_takes_the_folder_of_the_videos(project: Path) -> None:
    data, items = "../datasets/data", load_items(project / "datasets" / "final" / "all.json")
    checked = dsb("data", "validate", data, "--json")
    report = json.loads(checked.stdout)
    assert (report["errors"], report["files"]) == (0, 1 + 5 + 2 + 2)
    counted = json.loads(dsb("data", "stats", data, "--json").stdout)
    assert counted["overall"]["items"] == len(items)
    assert counted["memory_ablation/far"]["items"] == 2
    for verb in ("shard", "mini"):
        done = dsb("data", verb, data, "--shards", "1", "--json")
        assert NOTE in done.stderr
        assert "not divided: memory_ablation/far, memory_ablation/near;" in done.stderr
        (file,) = json.loads(done.stdout)["files"]
        assert file.startswith("../datasets/final/shards")
    merged = json.loads(dsb("data", "merge", "one_folder", data, "--json").stdout)
    assert merged["items"] == len(items)
    assert merged["memory_ablation"] == {"far": 2, "near": 1}
    assert NOTE not in dsb("data", "validate", "one_folder").stderr
