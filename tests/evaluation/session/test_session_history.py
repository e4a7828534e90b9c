"""What was said before: turns of a dialogue, and what memory holds."""

from __future__ import annotations

from pathlib import Path

import torch

import sessions
from dsb.benchmarks.item import Exchange
from dsb.errors import ModelError
from dsb.runlog.records import (
    Answered,
    Call,
    MemoryWrite,
    RetrievalMade,
)
from sessions import (
    Spy,
    answers,
    make_config,
    play,
    question,
    turn,
)
from videos import Video

torch.set_num_threads(1)
NS = 10**9


def messages_of(spy: Spy, system: str, key: str) -> tuple[str, ...]:
    (given,) = [each for each in spy.given if (each.system, each.query) == (system, key)]
    return given.messages


def test_a_later_turn_is_shown_with_the_systems_own_earlier_answer(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    spy = sessions.load_model(checkpoint, config)
    items = [turn("t0", 0, 1.0, "constant.mp4"), turn("t1", 1, 2.0, "constant.mp4")]
    own = answers(play(config, items, spy, run_dir))
    for system in ("s1", "s2", "blind"):
        first = "What color is the star now, t0?\nA. red\nB. blue\nC. green"
        assert messages_of(spy, system, "t1")[:2] == (first, own["t0", system][0])


def test_a_reference_history_replaces_the_own_answers(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    spy = sessions.load_model(checkpoint, config)
    told = {"history": "reference", "reference": (Exchange(question="Which?", answer="star"),)}
    items = [turn("t0", 0, 1.0, "constant.mp4"), turn("t1", 1, 2.0, "constant.mp4", **told)]
    play(config, items, spy, run_dir)
    assert messages_of(spy, "s2", "t1")[:2] == ("Which?", "star")


def test_a_failed_turn_is_not_part_of_the_history(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    spy = sessions.load_model(checkpoint, config)
    spy.failures["s1", "t0"] = [ModelError("broken")]
    items = [turn("t0", 0, 1.0, "constant.mp4"), turn("t1", 1, 2.0, "constant.mp4")]
    play(config, items, spy, run_dir)
    assert len(messages_of(spy, "s1", "t1")) == 1
    assert len(messages_of(spy, "s2", "t1")) == 3


def test_memory_shows_only_what_was_said_before(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    window = {"window": {"max_frames": 16}, "answering": "likelihood"}
    s2 = {**window, "retrieve": 8, "prompt": "{memory}{question}{options}"}
    config = make_config(data, system={"s2": s2}, memory={"long_term": True})
    spy = sessions.load_model(checkpoint, config)
    times = [1.0, 2.0, 2.0, 3.0]
    items = [question(f"q{k}", t, "constant.mp4") for k, t in enumerate(times)]
    played = play(config, items, spy, run_dir)
    found = {record.query: set(record.record_ids) for record in played.of(RetrievalMade)}
    assert found == {
        "q0": set(),
        "q1": {"turn:q0"},
        "q2": {"turn:q0"},
        "q3": {"turn:q0", "turn:q1", "turn:q2"},
    }
    assert all(record.t_visible_ns > record.t_end_ns for record in played.of(MemoryWrite))


def test_observations_are_written_at_their_pace_and_are_no_answers(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    memory = {"long_term": True, "write": ["observation"], "observe_every_s": 1.5}
    config = make_config(data, memory=memory)
    spy = sessions.load_model(checkpoint, config)
    played = play(config, [question("q", 4.0, "constant.mp4")], spy, run_dir)
    assert [record.t_start_ns for record in played.of(MemoryWrite)] == [3 * NS // 2, 3 * NS]
    assert {record.purpose for record in played.of(Call)} == {"answer", "observe"}
    assert {record.query for record in played.of(Answered)} == {"q"}
