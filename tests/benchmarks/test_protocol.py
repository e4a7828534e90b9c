"""A protocol fixes settings, prompts, history, reading and adding up; and grading goes by it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from dsb.analysis.arm import S1
from dsb.analysis.grade import Row
from dsb.analysis.summary.tables import score_table
from dsb.benchmarks.build import BENCHMARKS, find_protocol
from dsb.benchmarks.grading import Delivered, grade_item
from dsb.benchmarks.item import Chain, Exchange, Item, dump_items
from dsb.benchmarks.item_files import ItemFiles
from dsb.benchmarks.layout import write_layout
from dsb.benchmarks.protocol import Protocol
from dsb.benchmarks.root import DataRoot
from dsb.benchmarks.scoring.events import EventRule
from dsb.config.schema import RunConfig
from dsb.errors import ConfigError
from dsb.evaluation.configuration import load_run_config
from dsb.evaluation.plan import make_plan, question_of
from dsb.evaluation.prepare import prepare
from run_logs import instruction, question

PLAIN = Protocol("default")
OFFICIAL = Protocol(
    "official",
    settings={"video.fps": "1/2", "system.s1.window.max_frames": 3, "system.collect": "both"},
    prompts={"clue": "Look back: {question}{options}"},
    history="none",
)


class Ruled(ItemFiles):
    """Plain items with a protocol of their own beside the default."""

    name = "ruled"
    protocols: Mapping[str, Protocol] = {"default": PLAIN, "official": OFFICIAL}


RULED = Ruled()
BENCHMARKS.register("ruled", f"{__name__}:RULED", origin="a test")


def turn(history: str, index: int = 1) -> Item:
    told = (Exchange(question="Before?", answer="yes"),)
    chain = Chain(id="d", index=index, history=history, reference=told)  # type: ignore[arg-type]
    return question(index, task="sequential", chain=chain)


# -- a layer of the configuration -------------------------------------------------------------------


def test_a_protocol_stands_between_the_defaults_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "dataset: {format: ruled, protocol: official}\nsystem: {s1: {window: {max_frames: 5}}}\n"
    )
    loaded = load_run_config(file, ["system.collect=routed"])
    config, origins = loaded.config, loaded.origins
    assert (config.video.fps, origins["video.fps"]) == (Fraction(1, 2), "protocol:official")
    assert (config.system.s1.window.max_frames, origins["system.s1.window.max_frames"]) == (
        5,
        f"{file}:2",
    )
    assert (config.system.collect, origins["system.collect"]) == ("routed", "-s")
    assert origins["video.width"] == "default"


def test_an_override_may_choose_the_protocol(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("dataset: {format: ruled}\n")
    assert load_run_config(file).config.video.fps == 1
    chosen = load_run_config(file, ["dataset.protocol=official"])
    assert chosen.origins["video.fps"] == "protocol:official"


def test_a_protocol_that_nobody_knows_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("dataset: {format: ruled, protocol: offical}\n")
    known = r"run\.yaml:1: dataset\.protocol: .* no protocol 'offical'; known: default, official"
    with pytest.raises(ConfigError, match=known):
        load_run_config(file)
    with pytest.raises(ConfigError, match=r"-s dataset\.format: no benchmark is called 'rulde'"):
        load_run_config(file, ["dataset.format=rulde"])


def test_a_run_may_be_repeated_under_another_protocol(tmp_path: Path) -> None:
    """What nobody had set, and what the former protocol had set, gives way; the rest stays."""
    written = tmp_path / "run.yaml"
    mine = tmp_path / "mine.yaml"
    mine.write_text("dataset: {format: ruled}\nsystem: {s1: {window: {max_frames: 5}}}\n")
    for before, after, fps in (("default", "official", Fraction(1, 2)), ("official", "default", 1)):
        loaded = load_run_config(mine, [f"dataset.protocol={before}"])
        values = {"config": loaded.config.model_dump(mode="json"), "origins": loaded.origins}
        written.write_text(yaml.safe_dump(values))
        same = load_run_config(written)
        assert same.config == loaded.config
        other = load_run_config(written, [f"dataset.protocol={after}"])
        assert other.config.video.fps == fps
        assert other.config.system.s1.window.max_frames == 5
        kept = load_run_config(written, [f"dataset.protocol={after}", "video.fps=3"])
        assert (kept.config.video.fps, kept.origins["video.fps"]) == (3, "-s")


def test_a_wrong_key_of_a_protocol_is_blamed_on_the_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Protocol("official", settings={"video.fpz": 1})
    monkeypatch.setattr(Ruled, "protocols", {"default": PLAIN, "official": wrong})
    file = tmp_path / "run.yaml"
    file.write_text("dataset: {format: ruled, protocol: official}\n")
    with pytest.raises(ConfigError, match=r"protocol:official.*video\.fpz.*fps"):
        load_run_config(file)


# -- prompts and history ----------------------------------------------------------------------------


def test_a_prompt_is_for_its_task_alone() -> None:
    assert question_of(question(0), OFFICIAL).prompt == "Look back: {question}{options}"
    assert question_of(question(0, task="realtime"), OFFICIAL).prompt is None
    assert question_of(question(0), PLAIN).prompt is None


@pytest.mark.parametrize(
    ("item_says", "protocol_says", "shown"),
    [
        ("reference", "item", ["Before?", "yes"]),
        ("model", "item", []),
        ("model", "reference", ["Before?", "yes"]),
        ("reference", "model", []),
        ("reference", "none", []),
    ],
)
def test_a_protocol_decides_whose_answers_a_history_shows(
    item_says: str, protocol_says: str, shown: list[str]
) -> None:
    protocol = Protocol("p", history=protocol_says)  # type: ignore[arg-type]
    items = [turn(item_says, 0), turn(item_says, 1)]
    items = [item.model_copy(update={"video": "v.mp4"}) for item in items]
    (session,) = make_plan(RunConfig(), items, protocol).sessions
    last = session.queries[-1]
    assert [message.text for message in last.question.history] == shown
    own = "model" in (protocol_says, item_says if protocol_says == "item" else "")
    assert last.earlier == (("q0",) if own else ())


def test_a_prompt_that_hides_what_s2_looks_up_is_refused(tmp_path: Path) -> None:
    items = tmp_path / "items.json"
    dump_items([question(0)], items)
    config = RunConfig.model_validate(
        {
            "dataset": {"format": "ruled", "protocol": "official", "benchmark": str(items)},
            "memory": {"long_term": True},
            "system": {"s2": {"retrieve": 2, "prompt": "{memory}{question}{options}"}},
        }
    )
    with pytest.raises(
        ConfigError, match=r"retrieve is 2, but the prompt of clue in protocol 'official'"
    ):
        prepare(config)


def test_a_protocol_without_its_headline_or_its_question_is_refused() -> None:
    with pytest.raises(ValueError, match="headline 'f2' is none of its event_rules"):
        Protocol("p", headline="f2")
    with pytest.raises(ValueError, match=r"prompt of clue never shows the question"):
        Protocol("p", prompts={"clue": "Answer: {options}"})


def test_what_a_protocol_asks_differently_is_part_of_the_identity() -> None:
    assert PLAIN.asking == {}
    assert OFFICIAL.asking == {
        "prompts": {"clue": "Look back: {question}{options}"},
        "history": "none",
    }


# -- grading ----------------------------------------------------------------------------------------


def test_a_question_is_right_wrong_unreadable_or_missing() -> None:
    grades = [
        grade_item(PLAIN, question(0), Delivered(text))
        for text in ("Red.", "blue", "red or blue", None)
    ]
    assert [each.score for each in grades] == [1.0, 0.0, 0.0, 0.0]
    assert [each.read for each in grades] == ["red", "blue", None, None]
    assert all(each.denominator == 1.0 for each in grades)


def test_a_protocol_may_read_answers_its_own_way() -> None:
    first_word = Protocol("p", read=lambda item, text: text.split()[0] if text else None)
    assert grade_item(first_word, question(0), Delivered("red or blue")).score == 1.0
    assert grade_item(PLAIN, question(0), Delivered("red or blue")).score == 0.0


def test_alerts_are_compared_with_triggers_under_every_rule() -> None:
    item = instruction((10.0,))
    grade = grade_item(PLAIN, item, Delivered(alerts_s=(11.5,), polled_until_s=20.0))
    assert (grade.numerator, grade.denominator, grade.score) == (0.0, 2.0, 0.0)
    assert (grade.events["f1_1s"].f1, grade.events["f1_2s"].f1) == (0.0, 1.0)
    wide = Protocol("p", event_rules={"wide": EventRule(3.0, 3.0)}, headline="wide")
    assert grade_item(wide, item, Delivered(alerts_s=(11.5,), polled_until_s=20.0)).score == 1.0


def test_silence_is_right_only_where_somebody_was_silent() -> None:
    item = instruction(())
    assert grade_item(PLAIN, item, Delivered(alerts_s=(), polled_until_s=20.0)).score == 1.0
    assert grade_item(PLAIN, item, Delivered()).score == 0.0


@pytest.mark.parametrize(("aggregation", "expected"), [("ratio", 0.5), ("mean", 0.75)])
def test_items_add_up_as_the_protocol_says(aggregation: str, expected: float) -> None:
    rows = [
        Row(
            item=name, task="proactive", category="c", video=name, arm="s1", failed=False,
            numerator=hits, denominator=total, score=score, read=None,
        )
        for name, hits, total, score in (("a", 2.0, 2.0, 1.0), ("b", 2.0, 6.0, 0.5))
    ]  # fmt: skip
    protocol = Protocol("p", aggregation=aggregation)  # type: ignore[arg-type]
    cell = score_table(rows, [S1], protocol, 0, with_failed=False)["proactive"]["s1"]
    assert (cell.metric, cell.value) == ("f1_1s", expected)


def test_both_names_of_plain_files_have_one_default_protocol() -> None:
    assert find_protocol("items", "default") == find_protocol("synth", "default")


@pytest.mark.parametrize("name", ["items", "synth"])
def test_a_benchmark_is_found_by_name_and_brings_the_items_of_its_files(
    tmp_path: Path, name: str
) -> None:
    items = [question(0), instruction((10.0,))]
    write_layout(tmp_path, items)
    benchmark, protocol = find_protocol(name, "default")
    assert benchmark.items(DataRoot.at(tmp_path), "proactive") == items[1:]
    assert protocol is benchmark.protocols["default"]
