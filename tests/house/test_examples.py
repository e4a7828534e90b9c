"""The projects in examples/, installed and run as their README files tell it."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import dsb
from children import run
from dsb.runlog.records import Call, Route, Turns
from dsb.runlog.run import Run
from paths import ROOT

EXAMPLES = ROOT / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))


@dataclass(frozen=True)
class Followed:
    """What is there when somebody has followed a README."""

    folder: Path
    result: Mapping[str, Any]
    """What the last `dsb run --json` printed."""

    @property
    def run(self) -> Run:
        """Its run."""
        return dsb.open_run(self.folder / self.result["run_dir"])

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """Task -> arm -> score."""
        summary = json.loads((self.folder / self.result["summary"]).read_text("utf-8"))
        return {
            task: {arm: cell["value"] for arm, cell in cells.items()}
            for task, cells in summary["scores"].items()
        }

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The lines of `scores.jsonl`."""
        text = (self.run.path / "scores.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]


@dataclass(frozen=True)
class Machine:
    """A Python with all examples installed, and a copy of them to work in."""

    site: Path
    examples: Path

    def __call__(self, *command: str, folder: Path) -> str:
        """Standard output of a command of this Python: a script of an environment, or `python`."""
        starts = {"dsb": ["-m", "dsb.cli.app"], "python": []}
        start = [sys.executable, *starts[command[0]], *command[1:]]
        places = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), str(self.site)]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
        done = run(start, cwd=folder, env=env, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def follow(self, name: str) -> Followed:
        """Do what the README of an example tells, but for the installation."""
        folder = self.examples / name
        lines = commands(folder)
        assert lines[:2] == [f"cd examples/{name}", "pip install ."]
        for line in lines[2:]:
            json_too = ["--json"] if line.startswith("dsb run") else []
            output = self(*line.split(), *json_too, folder=folder)
        return Followed(folder, json.loads(output.splitlines()[-1]))


def commands(folder: Path) -> list[str]:
    """The command lines in the README of an example."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("examples")
    made = shutil.ignore_patterns("build", "*.egg-info", "data", "results", "__pycache__")
    examples = Path(shutil.copytree(EXAMPLES, folder / "examples", ignore=made))
    # The one who installs fetches setuptools and finds dualstreambench; here both are at hand.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    install = [sys.executable, "-m", "pip", "install", *options, "--target", folder / "site"]
    run([*install, *(examples / name for name in NAMES)], check=True)
    return Machine(folder / "site", examples)


@pytest.fixture(scope="module")
def routed(machine: Machine) -> Followed:
    return machine.follow("plugin_router")


@pytest.fixture(scope="module")
def colored(machine: Machine) -> Followed:
    return machine.follow("plugin_backend")


@pytest.fixture(scope="module")
def placed(machine: Machine) -> Followed:
    return machine.follow("own_benchmark")


def module(name: str, example: str) -> ModuleType:
    """The module of an example, for what no run shows."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / example / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found  # where dataclasses look for their annotations
    spec.loader.exec_module(found)
    return found


# -- plugin_router -------------------------------------------------------------------------------


def test_the_router_sends_to_s2_what_looks_back_further_than_s1_sees(routed: Followed) -> None:
    gold = {item.id: item for item in routed.run.items}
    decided = {r.query: r for r in routed.run.records() if of_router(r, "look_back")}
    assert decided.keys() == gold.keys()
    for query, record in decided.items():
        item = gold[query]
        past = re.search(
            r"^(What color was|Where was|Which .*(was|appeared)|.* did) ", item.question
        )
        if item.triggers_s is None:
            assert record.actions == ["s2" if past else "s1"], item.question
            looks_back_s = item.ask_time_s if past else 0
            assert record.reason == f"looks {looks_back_s:g} s back"


def test_the_router_leaves_to_s1_what_its_window_holds(routed: Followed) -> None:
    """The first tick of an instruction about the past is at 8 s, the last that S1 sees whole."""
    gold = {item.id: item for item in routed.run.items}
    ticks = [r for r in routed.run.records() if of_router(r, "look_back") and r.ticks_ns]
    for record in ticks:
        past = "has appeared" in gold[record.query].question
        assert record.ticks_ns[0] == 8e9
        later = "s2" if past else "s1"
        assert record.actions == ["s1"] + [later] * (len(record.ticks_ns) - 1)
    assert {"s1", "s2"} == {record.actions[-1] for record in ticks}


def of_router(record: object, label: str) -> bool:
    return isinstance(record, Route) and record.router == label


def test_the_router_loses_nothing_against_s2_and_reads_less(routed: Followed) -> None:
    for task, scores in routed.scores.items():
        assert scores["router:look_back"] == scores["s2"], task
    assert routed.scores["overall"]["s1"] < routed.scores["overall"]["router:look_back"]
    costs = dsb.score(routed.run.path).costs
    assert costs["router:look_back"].input_tokens.value < costs["s2"].input_tokens.value


def test_the_router_has_patience_with_s2_and_understands_ago() -> None:
    look_back = module("look_back", "plugin_router")
    assert look_back.look_back_s("Where was it 5 seconds ago?", 60.0) == 5.0
    router = look_back.LOOK_BACK.make("mine", look_back.LookBackSettings(patience_s=10))
    far, load = dsb.RouteScore(20.0), dsb.Load(s2_waiting=1, s2_backlog_s=10.1)
    assert router.decide(far, dsb.Load()).action == "s2"
    assert router.decide(far, load).action == "s1"


# -- plugin_backend ------------------------------------------------------------------------------


def test_the_backend_knows_which_color_it_is_and_which_it_was(colored: Followed) -> None:
    scores = colored.scores
    assert scores["realtime"]["s1"] == scores["proactive"]["s1"] == 1.0
    assert scores["reasoning"]["s2"] == 1.0
    assert {scores[task]["router:rule"] for task in scores} == {1.0}
    # Neither knows what the other one does.
    assert scores["reasoning"]["s1"] == pytest.approx(1 / 3)
    assert scores["proactive"]["s2"] == 0.0


def test_the_backend_says_how_sure_it_is(colored: Followed) -> None:
    """Its probabilities are shares of pixels, those of shapes on the background included."""
    calls = {(r.query, r.system): r for r in colored.run.records() if isinstance(r, Call)}
    for (_, system), call in calls.items():
        likely = [math.exp(value) for value in call.candidate_logprobs]
        assert sum(likely) == pytest.approx(1)
        if system == "blind":
            assert likely == pytest.approx([1 / len(likely)] * len(likely))
        else:
            assert max(likely) > 0.5
            assert call.visible_until_ns is not None
            assert call.visible_until_ns <= call.t_stream_ns
    # At 25 s, cyan for 20 of 26 frames and brown for the others.
    cyan = max(math.exp(value) for value in calls["most-25", "s2"].candidate_logprobs)
    assert cyan == pytest.approx(20 / 26, abs=0.05)


def test_the_backend_says_the_same_again(colored: Followed, machine: Machine) -> None:
    said = told(colored.run)
    assert len(said) > 7 * 3
    output = machine("dsb", "run", "color_shares.yaml", "--fresh", "--json", folder=colored.folder)
    again = Followed(colored.folder, json.loads(output.splitlines()[-1]))
    assert again.result["run_dir"] == colored.result["run_dir"]
    assert told(again.run) == said


def told(run: Run) -> list[object]:
    """What a backend said, and to what, without how long it took."""
    asked = [(r.query, r.system, r.text, r.candidate_logprobs, r.input_hash) for r in calls_of(run)]
    polled = [(r.query, r.system, *r.scores) for r in run.records() if isinstance(r, Turns)]
    return [*asked, *polled]


def calls_of(run: Run) -> list[Call]:
    return [record for record in run.records() if isinstance(record, Call)]


def test_a_run_knows_which_version_of_the_backend_answered(colored: Followed) -> None:
    wanted = {"backend": "color_shares", "version": "0.1.0"}
    assert colored.run.manifest.models == {"s1": wanted, "s2": wanted}


# -- own_benchmark -------------------------------------------------------------------------------


def test_the_benchmark_gives_half_a_point_for_half_a_place(placed: Followed) -> None:
    with (placed.folder / "questions.csv").open(encoding="utf-8", newline="") as file:
        right = [row["place"].split("-") for row in csv.DictReader(file)]
    gold = {f"places-{number:02d}": place for number, place in enumerate(right, start=1)}
    rows = placed.rows
    assert len(rows) == len(gold) * len({row["arm"] for row in rows})
    for row in rows:
        row_said, column_said = row["read"].split("-")
        row_right, column_right = gold[row["item"]]
        assert row["score"] == ((row_said == row_right) + (column_said == column_right)) / 2
    # S1 has to guess about the past, and so has who sees nothing.
    assert {row["score"] for row in rows if row["arm"] == "s1"} >= {0.5, 1.0}
    assert {row["score"] for row in rows if row["arm"] == "s2"} == {1.0}


def test_the_benchmark_adds_up_the_items_own_scores(placed: Followed) -> None:
    past = [row["score"] for row in placed.rows if row["arm"] == "s1" and row["task"] == "clue"]
    assert placed.scores["clue"]["s1"] == pytest.approx(sum(past) / len(past))
    assert placed.scores["realtime"]["s1"] == 1.0


def test_the_rules_of_the_benchmark_are_a_layer_of_the_configuration(placed: Followed) -> None:
    loaded = yaml.safe_load((placed.run.path / "run.yaml").read_text("utf-8"))
    fixed = {key for key, origin in loaded["origins"].items() if origin == "protocol:official"}
    answering = {f"system.{name}.answering" for name in ("s1", "s2")}
    windows = {f"system.{name}.window.max_frames" for name in ("s1", "s2")}
    assert fixed == {"video.fps"} | answering | windows
    assert placed.run.config.system.s2.window.max_frames == 60


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("In the upper right corner.", "top-right"),
        ("bottom left", "bottom-left"),
        ("At the top, left or right.", None),
        ("On the left.", None),
    ],
)
def test_the_benchmark_reads_a_place_in_other_words(text: str, place: str | None) -> None:
    places = module("places", "own_benchmark")
    item = places.read_questions(EXAMPLES / "own_benchmark" / "questions.csv")[0]
    assert places.read_place(item, text) == place
