"""The synthetic benchmark on disk: real videos, exact items, and interrupted calls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import synth_oracle
from children import run
from dsb.benchmarks.item import TASKS, Item, load_items
from dsb.benchmarks.item_files import ITEM_FILES
from dsb.benchmarks.layout import all_items_file
from dsb.benchmarks.root import DataRoot
from dsb.benchmarks.synth.generate import Generated, Plan, generate, make_items
from dsb.benchmarks.synth.render import render
from dsb.benchmarks.synth.video import VIDEO_FPS, write_video
from dsb.benchmarks.synth.world import Stream, make_stream
from dsb.benchmarks.validate import validate_file
from dsb.errors import BenchmarkError, DecodeError
from dsb.stream.binary import find_ffmpeg

PLAN = Plan(sessions=2, seed=3, level="easy", per_format=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Generated]:
    out = tmp_path_factory.mktemp("synth")
    return out, generate(out, PLAN, shards=2)


@pytest.fixture(scope="module")
def items(made: tuple[Path, Generated]) -> list[Item]:
    return load_items(all_items_file(made[0]))


def stream_of(item: Item) -> Stream:
    (index,) = [i for i in range(PLAN.sessions) if PLAN.video(i) == item.video]
    return PLAN.stream(index)


def decode(path: Path, size: int = 224) -> np.ndarray:
    """All frames of a video, (T, size, size, 3) uint8."""
    argv = [str(find_ffmpeg()), "-loglevel", "error", "-i", str(path), "-threads", "1"]
    argv += ["-vf", f"scale={size}:{size}:flags=area", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = run(argv, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size, size, 3)


# -- files ------------------------------------------------------------------------------------


def test_the_layout_holds_every_item_once_per_division(
    made: tuple[Path, Generated], items: list[Item]
) -> None:
    final = made[0] / "final"
    ids = [item.id for item in items]
    by_task = [i.id for task in TASKS for i in load_items(final / "task_sets" / f"{task}.json")]
    by_shard = [i.id for file in sorted((final / "shards").iterdir()) for i in load_items(file)]
    assert sorted(by_task) == sorted(ids)
    assert sorted(by_shard) == sorted(ids)
    minis = [i for file in (final / "shards_mini").iterdir() for i in load_items(file)]
    assert {item.task for item in minis} == set(TASKS)
    assert len(minis) < len(items)


def test_items_and_videos_pass_the_validator(made: tuple[Path, Generated]) -> None:
    assert validate_file(all_items_file(made[0]), made[0]) == []


def test_every_task_is_asked_about_every_stream(items: list[Item]) -> None:
    for index in range(PLAN.sessions):
        assert {i.task for i in items if i.video == PLAN.video(index)} == set(TASKS)


def test_the_world_is_described(made: tuple[Path, Generated]) -> None:
    world = json.loads((made[0] / "world.json").read_text())
    assert (world["seed"], world["level"]["name"], world["split"]) == (3, "easy", "dev")
    assert [each["seed"] for each in world["streams"]] == [1_000_300_000, 1_000_300_001]
    assert all(each["ffmpeg"] for each in world["streams"])


def test_the_benchmark_hands_out_its_items(made: tuple[Path, Generated], items: list[Item]) -> None:
    assert ITEM_FILES.items(DataRoot.at(made[0])) == items
    clues = ITEM_FILES.items(DataRoot.at(made[0]), "clue")
    assert clues == [item for item in items if item.task == "clue"]


# -- truth ------------------------------------------------------------------------------------


def test_every_answer_is_right(items: list[Item]) -> None:
    for item in items:
        if item.answer is not None:
            it = item.chain.reference[0].answer if item.chain and item.chain.reference else None
            truth = synth_oracle.answer(stream_of(item), item.question, item.ask_time_s, it)
            assert item.answer.text == truth, item.id


def test_triggers_are_when_the_instruction_comes_true(items: list[Item]) -> None:
    for item in items:
        if item.triggers_s is not None:
            assert item.end_s == 59.0
            ticks = [float(t) for t in range(int(item.ask_time_s), 60)]
            stream = stream_of(item)
            due = [synth_oracle.answer(stream, item.question, t) == "yes" for t in ticks]
            rises = [t for a, b, t in zip(due, due[1:], ticks[1:], strict=False) if b and not a]
            assert list(item.triggers_s) == rises


def test_a_dialogue_opens_with_a_question_of_its_own(items: list[Item]) -> None:
    chains: dict[str, list[Item]] = {}
    for item in items:
        if item.chain:
            chains.setdefault(item.chain.id, []).append(item)
    assert chains
    for opening, follow_up in chains.values():
        assert opening.chain is not None
        assert follow_up.chain is not None
        assert opening.answer is not None
        assert (opening.chain.index, follow_up.chain.index) == (0, 1)
        assert opening.ask_time_s < follow_up.ask_time_s
        assert not opening.scored
        assert follow_up.scored
        (turn,) = follow_up.chain.reference
        assert (turn.question, turn.answer) == (opening.question, opening.answer.text)


def test_no_instruction_is_given_twice_to_one_stream() -> None:
    made = make_items(Plan(sessions=30, seed=1))
    given = [(item.video, item.question) for item in made if item.task == "proactive"]
    assert len(set(given)) == len(given)


# -- pixels -----------------------------------------------------------------------------------


def test_a_video_shows_the_truth_at_every_frame(made: tuple[Path, Generated]) -> None:
    frames = decode(made[0] / PLAN.video(0), 56)
    assert len(frames) == 60 * VIDEO_FPS
    truth = render(PLAN.stream(0), [n / VIDEO_FPS for n in range(len(frames))], 28)
    difference = np.abs(frames.astype(int) - truth).mean((1, 2, 3))
    assert difference.mean() < 3
    assert difference.max() < 8


def test_the_same_seed_gives_the_same_items_and_pixels(
    made: tuple[Path, Generated], tmp_path: Path
) -> None:
    generate(tmp_path, PLAN, shards=2)
    for file in ("final/all.json", "world.json", PLAN.video(0), PLAN.video(1)):
        assert (tmp_path / file).read_bytes() == (made[0] / file).read_bytes()


# -- interruptions ----------------------------------------------------------------------------


def test_a_repeated_call_makes_only_what_is_missing(
    made: tuple[Path, Generated], tmp_path: Path
) -> None:
    first, second = (tmp_path / PLAN.video(i) for i in range(2))
    generate(tmp_path, PLAN)
    before, untouched = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    seen: list[tuple[int, int, bool]] = []
    again = generate(tmp_path, PLAN, progress=lambda *args: seen.append(args))
    assert (again.videos_written, again.videos_kept) == (1, 1)
    assert seen == [(1, 2, True), (2, 2, False)]
    assert first.stat().st_mtime_ns == untouched
    assert second.read_bytes() == before


def test_more_sessions_extend_a_benchmark(tmp_path: Path) -> None:
    one = generate(tmp_path, Plan(sessions=1, seed=3, level="easy"))
    two = generate(tmp_path, Plan(sessions=2, seed=3, level="easy"))
    assert two.items[: len(one.items)] == one.items
    assert (two.videos_written, two.videos_kept) == (1, 1)


def test_shards_that_somebody_made_survive_a_repeated_call(made: tuple[Path, Generated]) -> None:
    generate(made[0], PLAN)
    assert len(list((made[0] / "final" / "shards").iterdir())) == 2


def test_a_folder_with_other_streams_is_refused(made: tuple[Path, Generated]) -> None:
    with pytest.raises(BenchmarkError, match=r"world\.json: seed"):
        generate(made[0], Plan(sessions=2, seed=4, level="easy"))
    with pytest.raises(BenchmarkError, match=r"world\.json: level"):
        generate(made[0], Plan(sessions=2, seed=3, level="hard"))


def test_a_folder_with_a_foreign_benchmark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    with pytest.raises(BenchmarkError, match="not generated here"):
        generate(tmp_path, PLAN)


def test_a_failing_encoder_leaves_no_video_behind(tmp_path: Path) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\necho Unknown encoder libx264 >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(DecodeError, match="Unknown encoder libx264"):
        write_video(make_stream(1, 20.0), tmp_path / "videos" / "v.mp4", broken)
    assert list((tmp_path / "videos").iterdir()) == []
