"""Files of items: reading, refusing, mending and dividing them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb.benchmarks.item import Answer, Chain, Item, dump_items, load_items
from dsb.benchmarks.layout import (
    limit,
    merge,
    mini,
    select_items,
    split,
    stats,
    write_layout,
    write_shards,
)
from dsb.benchmarks.root import DataRoot
from dsb.benchmarks.synth.video import write_video
from dsb.benchmarks.synth.world import make_stream
from dsb.benchmarks.validate import Finding, validate_file
from dsb.errors import BenchmarkError

COLORS = ("red", "blue", "green", "yellow")


def item(name: str = "i0", **fields: Any) -> Item:
    base: dict[str, Any] = {
        "id": name,
        "task": "clue",
        "source": "test",
        "category": "clue.color",
        "video": "videos/a.mp4",
        "ask_time_s": 9.0,
        "question": "What color was the star?",
        "options": COLORS,
        "answer": Answer(option=2, text="green"),
        "evidence_s": ((1.0, 2.5),),
    }
    return Item.model_validate({**base, **fields})


def proactive(name: str = "p0", **fields: Any) -> Item:
    triggers = {"task": "proactive", "options": None, "answer": None, "triggers_s": (9.0, 10.0)}
    return item(name, **{**triggers, **fields})


def turn(name: str, chain: str, index: int, **fields: Any) -> Item:
    link = Chain(id=chain, index=index, history="reference")
    return item(name, task="sequential", chain=link, ask_time_s=9.0 + index, **fields)


def raw(**changes: Any) -> dict[str, Any]:
    return {**item().model_dump(mode="json"), **changes}


def write(path: Path, *items: object) -> Path:
    path.write_text(json.dumps({"schema": "dsb-items/1", "items": items}))
    return path


# -- reading and writing ----------------------------------------------------------------------


def test_items_survive_writing_and_reading(tmp_path: Path) -> None:
    items = [item(), proactive(meta={"once": True, "end_s": 11}), turn("c", "d", 0)]
    dump_items(items, tmp_path / "deep" / "items.json")
    assert load_items(tmp_path / "deep" / "items.json") == items


def test_a_bare_list_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "bare.json"
    path.write_text(json.dumps([raw()]))
    assert load_items(path) == [item()]


def test_only_the_necessary_fields_are_needed(tmp_path: Path) -> None:
    least = {
        "id": "x",
        "task": "realtime",
        "source": "own",
        "category": "any",
        "video": "a.mp4",
        "ask_time_s": 3,
        "question": "What is this?",
        "answer": {"text": "a cup"},
    }
    (found,) = load_items(write(tmp_path / "least.json", least))
    assert (found.format, found.chance, found.scored, found.ask_time_s) == ("open", None, True, 3.0)


def test_the_format_follows_from_triggers_options_and_space() -> None:
    open_item = item(options=None, answer=Answer(text="red"))
    yes_no = open_item.model_copy(update={"meta": {"space": ["no", "yes"]}})
    word = open_item.model_copy(update={"meta": {"space": ["red", "blue"]}})
    formats = [each.format for each in (proactive(), item(), yes_no, word, open_item)]
    assert formats == ["event", "choice", "yes_no", "open", "open"]
    assert [each.chance for each in (proactive(), item(), yes_no)] == [None, 0.25, 0.5]


def test_lookback_reaches_from_the_question_to_the_first_evidence() -> None:
    assert item(evidence_s=((4.0, 5.0), (1.5, 2.0))).lookback_s == 7.5
    assert item(evidence_s=()).lookback_s == 0


@pytest.mark.parametrize("content", ["", "{", "3", '{"items": 3}', '{"schema": "x", "items": []}'])
def test_a_file_that_holds_no_items_is_one_clear_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "items.json"
    path.write_text(content)
    with pytest.raises(BenchmarkError, match=r"items\.json"):
        load_items(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="dsb data synth"):
        load_items(tmp_path / "none.json")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"id": ""}, "id"),
    ({"task": "memory"}, "task"),
    ({"ask_time_s": "84"}, "ask_time_s"),
    ({"ask_time_s": -1}, "ask_time_s"),
    ({"ask_time_s": float("nan")}, "ask_time_s"),
    ({"ask_time_s": None}, "ask_time_s"),
    ({"colour": "red"}, "colour"),
    ({"options": ["red"], "answer": {"option": 0, "text": "red"}}, "options"),
    ({"options": ["red", "red", "green"]}, "options"),
    ({"answer": None}, "answer"),
    ({"answer": {"option": 4, "text": "green"}}, "answer.option"),
    ({"answer": {"option": None, "text": "green"}}, "answer.option"),
    ({"answer": {"option": 1, "text": "green"}}, "answer.text"),
    ({"options": None}, "answer.option"),
    (
        {"options": None, "answer": {"text": "pink"}, "meta": {"space": ["red", "blue"]}},
        "answer.text",
    ),
    ({"evidence_s": [[3.0, 2.0]]}, "evidence_s[0]"),
    ({"evidence_s": [[1.0, 2.0], [9.5, 10.0]]}, "evidence_s[1]"),
    ({"valid_s": [9.0, 3.0]}, "valid_s"),
    ({"task": "proactive"}, "triggers_s"),
    ({"triggers_s": [10.0]}, "triggers_s"),
    ({"task": "proactive", "options": None, "triggers_s": [3.0]}, "triggers_s[0]"),
    (
        {"task": "proactive", "options": None, "triggers_s": [], "meta": {"end_s": 1.0}},
        "meta.end_s",
    ),
    (
        {"task": "proactive", "options": None, "triggers_s": [], "meta": {"end_s": "20"}},
        "meta.end_s",
    ),
    ({"task": "proactive", "options": None, "triggers_s": [12.0, 10.0]}, "triggers_s"),
    ({"chain": {"id": "c", "index": 0, "history": "model"}}, "chain"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG)
def test_a_wrong_item_is_refused_with_file_id_and_field(
    tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    path = write(tmp_path / "items.json", raw(**changes))
    with pytest.raises(BenchmarkError, match=r"items\.json: item ") as caught:
        load_items(path)
    assert f": {field}: " in str(caught.value)
    assert field in {finding.field for finding in validate_file(path)}


def test_wrong_items_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"i0: answer\.text"):
        dump_items([item(answer=Answer(option=0, text="green"))], tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


# -- the validator ----------------------------------------------------------------------------


def by_field(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {finding.field: finding for finding in findings}


def test_the_validator_lists_every_wrong_item_and_not_only_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "i.json", raw(id="a", task="x"), raw(id="b"), raw(id="c", video=""))
    assert [(f.item, f.field) for f in validate_file(path)] == [("a", "task"), ("c", "video")]


def test_a_doubled_id_is_found(tmp_path: Path) -> None:
    (finding,) = validate_file(write(tmp_path / "i.json", raw(), raw()))
    assert (finding.item, finding.field) == ("i0", "id")


def test_an_item_without_an_id_is_named_by_its_place(tmp_path: Path) -> None:
    nameless = raw()
    del nameless["id"]
    (finding,) = validate_file(write(tmp_path / "i.json", raw(), nameless))
    assert (finding.item, finding.field, finding.remedy) == ("number 1", "id", "add it")


def test_a_dialogue_that_runs_backwards_is_found(tmp_path: Path) -> None:
    late = turn("t0", "c", 0).model_copy(update={"ask_time_s": 30.0})
    twice = [turn("u0", "d", 0), turn("u1", "d", 0)]
    path = tmp_path / "i.json"
    dump_items([late, turn("t1", "c", 1), *twice], path)
    found = {finding.item: finding for finding in validate_file(path)}
    assert found["t1"].field == "chain"
    assert found["u0"].field == "chain.index"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "a.mp4"
    write_video(make_stream(1, 10.0), path)
    return path


def test_missing_and_unusable_videos_are_found(video: Path, tmp_path: Path) -> None:
    content = video.read_bytes()
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    middle = len(content) // 2
    (tmp_path / "damaged.mp4").write_bytes(
        content[: middle - 500] + b"\xff" * 1000 + content[middle + 500 :]
    )
    (tmp_path / "good.mp4").write_bytes(content)
    names = ["none", "text", "cut", "damaged", "good"]
    path = tmp_path / "items.json"
    dump_items([item(name, video=f"{name}.mp4") for name in names], path)
    findings = validate_file(path, tmp_path)
    assert [(f.item, f.field) for f in findings] == [(n, "video") for n in names[:-1]]
    assert all(f.remedy for f in findings)


def test_damage_in_the_middle_needs_decoding(video: Path, tmp_path: Path) -> None:
    content, middle = video.read_bytes(), video.stat().st_size // 2
    damaged = content[: middle - 500] + b"\xff" * 1000 + content[middle + 500 :]
    (tmp_path / "a.mp4").write_bytes(damaged)
    dump_items([item(video="a.mp4")], tmp_path / "items.json")
    assert validate_file(tmp_path / "items.json", tmp_path, decode=False) == []
    assert validate_file(tmp_path / "items.json", tmp_path)


def test_times_behind_the_end_of_the_video_are_found(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    dump_items(
        [
            item("late", video="a.mp4", ask_time_s=12.0),
            proactive("p", video="a.mp4", triggers_s=(9.5, 20.0), meta={"end_s": 30}),
        ],
        path,
    )
    found = [(f.item, f.field) for f in validate_file(path, video.parent)]
    assert found == [("late", "ask_time_s"), ("p", "triggers_s[1]"), ("p", "meta.end_s")]


def test_fix_mends_what_has_one_mending_and_says_so(tmp_path: Path) -> None:
    path = write(
        tmp_path / "i.json",
        raw(id="clock", ask_time_s="00:01:24.5"),
        raw(id="letter", answer={"text": "C"}),
        raw(id="word", answer="green"),
        raw(id="index", answer={"option": 2}),
        raw(id="order", task="proactive", options=None, answer=None, triggers_s=[12.0, 10.0]),
        raw(id="hopeless", answer={"text": "pink"}),
    )
    findings = validate_file(path, fix=True)
    fixed = {f.item: f.field for f in findings if f.severity == "fixed"}
    assert fixed == {
        "clock": "ask_time_s",
        "letter": "answer",
        "word": "answer",
        "index": "answer",
        "order": "triggers_s",
    }
    assert [f.item for f in findings if f.severity == "error"] == ["hopeless"]
    again = validate_file(path)
    assert [f.item for f in again] == ["hopeless"]
    kept = {each["id"]: each for each in json.loads(path.read_text())["items"]}
    assert kept["clock"]["ask_time_s"] == 84.5
    assert kept["letter"]["answer"] == {"option": 2, "text": "green"}


def test_without_fix_the_file_stays_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "i.json", raw(ask_time_s="1:24"))
    before = path.read_bytes()
    assert by_field(validate_file(path))["ask_time_s"].severity == "error"
    assert path.read_bytes() == before


# -- dividing ---------------------------------------------------------------------------------

videos = st.lists(st.sampled_from("abcdef"), max_size=30)


@given(videos, st.integers(1, 8))
def test_shards_are_a_partition_that_keeps_videos_whole(names: list[str], count: int) -> None:
    items = [item(f"i{n}", video=f"{name}.mp4") for n, name in enumerate(names)]
    parts = split(items, count)
    assert len(parts) == count
    assert sorted(i.id for part in parts for i in part) == sorted(i.id for i in items)
    homes = [{i.video for i in part} for part in parts]
    assert sum(map(len, homes)) == len(set().union(*homes))


def test_shards_are_of_similar_size() -> None:
    items = [item(f"{v}{n}", video=f"{v}.mp4") for v in "abcdefgh" for n in range(5)]
    assert [len(part) for part in split(items, 4)] == [10, 10, 10, 10]


def test_a_limit_never_cuts_a_dialogue() -> None:
    items = [turn("t0", "c", 0), item("x"), turn("t1", "c", 1), item("y")]
    assert [i.id for i in limit(items, 1)] == ["t0", "t1"]
    assert [i.id for i in limit(items, 2)] == ["t0", "x", "t1"]
    assert limit(items, 99) == items


def test_a_mini_has_some_items_of_every_task() -> None:
    items = [
        *(item(f"c{n}") for n in range(5)),
        *(proactive(f"p{n}") for n in range(5)),
        *(turn(f"t{n}", f"d{n // 2}", n % 2) for n in range(6)),
    ]
    assert [i.id for i in mini(items, 2)] == ["c0", "c1", "p0", "p1", "t0", "t1"]


def test_merging_refuses_an_id_that_occurs_twice() -> None:
    assert merge([[item("a")], [item("b")]]) == [item("a"), item("b")]
    with pytest.raises(BenchmarkError, match="item a: id"):
        merge([[item("a")], [item("a")]])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    items = [item(f"{v}{n}", video=f"videos/{v}.mp4") for v in "abcd" for n in range(3)]
    write_layout(tmp_path, [*items, proactive("p", video="videos/a.mp4")], shards=2)
    return tmp_path


def test_a_run_selects_all_a_task_a_file_or_a_shard(root: Path) -> None:
    assert len(select_items(DataRoot.at(root))) == 13
    assert [i.id for i in select_items(DataRoot.at(root), "proactive")] == ["p"]
    assert [i.id for i in select_items(DataRoot.at(root), "final/task_sets/proactive.json")] == [
        "p"
    ]
    parts = [select_items(DataRoot.at(root), shard=f"{n}/3") for n in (1, 2, 3)]
    assert sorted(i.id for part in parts for i in part) == sorted(
        i.id for i in select_items(DataRoot.at(root))
    )
    named = select_items(DataRoot.at(root), "clue", shard="shard-001-of-002")
    assert {i.task for i in named} == {"clue"}
    assert len(select_items(DataRoot.at(root), max_samples=4)) == 4


def test_a_task_without_a_file_of_its_own_is_taken_out_of_all_items(root: Path) -> None:
    dump_items([item("a"), proactive("p"), item("b")], root / "final" / "all.json")
    own = root / "final" / "task_sets" / "clue.json"
    assert len(select_items(DataRoot.at(root), "clue")) == 12
    own.unlink()
    assert [i.id for i in select_items(DataRoot.at(root), "clue")] == ["a", "b"]
    (root / "final" / "all.json").unlink()
    with pytest.raises(BenchmarkError, match=r"clue\.json and .*all\.json not found"):
        select_items(DataRoot.at(root), "clue")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"benchmark": "cleu"}, "cleu"),
        ({"shard": "0/3"}, "between 1 and 3"),
        ({"shard": "4/3"}, "between 1 and 3"),
        ({"shard": "nothing"}, "dsb data shard"),
    ],
)
def test_an_impossible_selection_is_one_clear_error(
    root: Path, arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(BenchmarkError, match=message):
        select_items(DataRoot.at(root), **arguments)  # type: ignore[arg-type]


def test_another_division_replaces_the_old_shards(root: Path) -> None:
    write_shards(root, select_items(DataRoot.at(root)), 3)
    names = sorted(file.name for file in (root / "final" / "shards").iterdir())
    assert names == [f"shard-00{n}-of-003.json" for n in (1, 2, 3)]


def test_statistics_count_what_is_scored(root: Path) -> None:
    counted = stats([item("a"), item("b", scored=False), proactive("p")])
    assert (counted["overall"].items, counted["overall"].triggers) == (3, 2)
    assert (counted["clue"].chance, counted["clue"].lookback_s) == (0.25, 8.0)
    assert counted["proactive"].formats == {"event": 1}
