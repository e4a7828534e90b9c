"""A session plays a video once, asks whom it should, and shows nothing early."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

import sessions
import videos
from dsb.benchmarks.item import Exchange
from dsb.config.schema import RunConfig
from dsb.errors import CausalityError, ModelError
from dsb.runlog.records import (
    Answered,
    Call,
    Frames,
    MemoryWrite,
    RetrievalMade,
    Route,
    SessionEnd,
    Turns,
)
from random_checkpoints import write_checkpoint
from sessions import (
    Spy,
    answers,
    instruction,
    make_config,
    play,
    question,
    some_questions,
    turn,
)
from videos import Video

torch.set_num_threads(1)
NS = 10**9


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model"), "qwen2_5_vl")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def constant(data: Path) -> Video:
    return videos.constant(data)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


# -- what is seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("timing", ["variable", "ntsc", "audio_first"])
@pytest.mark.parametrize("reuse", ["embed", "none"])
def test_no_model_is_given_a_frame_from_later_than_its_question(
    timing: str, reuse: str, data: Path, run_dir: Path, checkpoint: Path
) -> None:
    video = videos.TIMINGS[timing](data)
    name = video.path.name
    config = make_config(data, system={"streaming_embed_cache": {"reuse": reuse}})
    spy = sessions.load_model(checkpoint, config)
    items = [question(f"q{k}", 0.1 + 0.37 * k, name) for k in range(9)]
    items += [instruction("w", 0.25, 3.3, name), question("after the end", 60.0, name)]
    played = play(config, items, spy, run_dir)
    assert [outcome.done for outcome in played.outcomes] == [True]
    assert len(spy.given) == 3 * (10 + 4)
    for given in spy.given:
        newest = sessions.on_screen(video, Fraction(2), given.t_ns)
        assert max(given.observed, default=None) == newest, given
        if given.window:
            assert max(given.window) == newest, given


def test_a_window_holds_the_newest_frames_and_no_more(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data, system={"streaming_embed_cache": {"reuse": "none"}})
    spy = sessions.load_model(checkpoint, config)
    play(config, [question("q", 3.2, "constant.mp4")], spy, run_dir)
    shown = {given.system: given.window for given in spy.given}
    assert shown["s1"] == (75, 90)
    assert shown["s2"] == (0, 15, 30, 45, 60, 75, 90)
    assert shown["blind"] == ()


def test_a_leak_is_not_taken_for_a_failed_query(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    spy = sessions.load_model(checkpoint, config)
    spy.failures["s2", "q1"] = [CausalityError("a frame of the future")]
    played = play(config, some_questions(), spy, run_dir)
    assert "CausalityError" in played.outcomes[0].error
    assert not played.of(SessionEnd)


# -- how often ------------------------------------------------------------------------------------


def test_frames_are_decoded_and_encoded_once_whatever_is_asked(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    last = question("last", 4.6, "constant.mp4")
    few = [last]
    many = [last, *some_questions(), instruction("w", 0.0, 4.5, "constant.mp4")]
    ends = []
    for place, items in enumerate((few, many)):
        spy = sessions.load_model(checkpoint, config)
        played = play(config, items, spy, run_dir / str(place))
        ids = [frame for record in played.of(Frames) for frame in range(record.start, record.stop)]
        assert ids == list(range(10))
        ends += played.of(SessionEnd)
    assert [end.frames_decoded for end in ends] == [10, 10]
    assert [end.frames_encoded for end in ends] == [10, 10]
    assert ends[1].model_calls > ends[0].model_calls


def test_the_log_has_a_digest_of_every_frame_that_was_sent(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    played = play(config, some_questions(), sessions.load_model(checkpoint, config), run_dir)
    digests = [digest for record in played.of(Frames) for digest in record.digests]
    pts_ns = [pts for record in played.of(Frames) for pts in record.pts_ns]
    assert len(set(digests)) == len(digests) == len(pts_ns)
    assert all(len(digest) == 32 for digest in digests)
    assert pts_ns == [k * NS // 2 for k in range(len(pts_ns))]


def test_every_tick_is_logged_in_arrays_of_at_most_64(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data, system={"proactive": {"tick_s": "1/30"}})
    items = [
        instruction("a", 0.5, 3.5, "constant.mp4"),
        instruction("b", 1.0, 2.0, "constant.mp4"),
    ]
    played = play(config, items, sessions.load_model(checkpoint, config), run_dir)
    ticks: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for record in played.of(Turns):
        assert len(record.ticks_ns) <= 64
        assert len({len(value) for value in _arrays(record)}) == 1
        assert set(record.states) == {"processed"}
        ticks[record.query, record.system] += record.ticks_ns
    for system in ("s1", "s2", "blind"):
        assert ticks["a", system] == [
            _ceil(Fraction(NS, 2) + Fraction(k * NS, 30)) for k in range(91)
        ]
        assert ticks["b", system] == [_ceil(NS + Fraction(k * NS, 30)) for k in range(31)]
    routed = [tick for r in played.of(Route) if r.query == "a" for tick in r.ticks_ns]
    assert routed == ticks["a", "s1"]


def _arrays(record: Turns) -> Iterable[list[Any]]:
    return (value for value in dict(record).values() if isinstance(value, list))


def _ceil(value: Fraction) -> int:
    return -int(-value // 1)


def test_polling_to_the_end_of_a_video_stops_at_its_end(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    items = [instruction("w", 1.0, None, "constant.mp4")]
    played = play(config, items, sessions.load_model(checkpoint, config), run_dir)
    (record,) = [record for record in played.of(Turns) if record.system == "s1"]
    assert record.ticks_ns == [1 * NS, 2 * NS, 3 * NS, 4 * NS, 5 * NS]


def test_an_instruction_given_after_the_end_has_one_tick(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    items = [instruction("w", 9.0, None, "constant.mp4")]
    played = play(config, items, sessions.load_model(checkpoint, config), run_dir)
    assert {record.system: record.ticks_ns for record in played.of(Turns)} == {
        system: [9 * NS] for system in ("s1", "s2", "blind")
    }


# -- who answers ----------------------------------------------------------------------------------


def routed(data: Path, router: str, **more: Any) -> RunConfig:
    scheduler = {"router": {"name": router}}
    return make_config(data, system={"collect": "routed", "scheduler": scheduler, **more})


@pytest.mark.parametrize(("router", "arms"), [("always_s1", {"s1"}), ("always_s2", {"s2"})])
def test_only_the_system_that_the_router_picks_is_asked(
    router: str, arms: set[str], data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = routed(data, router, blind=False)
    items = [*some_questions(), instruction("w", 0.0, 4.0, "constant.mp4")]
    spy = sessions.load_model(checkpoint, config)
    played = play(config, items, spy, run_dir)
    assert {given.system for given in spy.given} == arms
    assert {record.system for record in played.of(Turns)} == arms


def test_after_s1_the_router_sees_how_sure_s1_is(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = routed(data, "s1_uncertainty")
    played = play(config, some_questions(), sessions.load_model(checkpoint, config), run_dir)
    sure = {a.query: a.confidence for a in played.of(Answered) if a.system == "s1"}
    escalated = {a.query for a in played.of(Answered) if a.system == "s2"}
    for route in played.of(Route):
        assert route.scores == [pytest.approx(1 - sure[route.query])]
        assert route.actions == ["s2" if route.query in escalated else "s1"]
        assert (route.scores[0] > route.threshold) == (route.query in escalated)


def test_answers_do_not_depend_on_who_else_is_asked(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    both = make_config(data)
    everything = answers(
        play(both, some_questions(), sessions.load_model(checkpoint, both), run_dir / "both")
    )
    for router in ("always_s2", "s1_uncertainty"):
        config = routed(data, router)
        spy = sessions.load_model(checkpoint, config)
        alone = answers(play(config, some_questions(), spy, run_dir / router))
        assert alone
        assert alone == {key: everything[key] for key in alone}


def test_offline_every_question_gets_the_answer_that_it_gets_in_the_stream(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    stream = make_config(data, system={"streaming_embed_cache": {"reuse": "embed"}})
    offline = make_config(
        data, stream={"mode": "offline"}, system={"streaming_embed_cache": {"reuse": "none"}}
    )
    items = [*some_questions(), instruction("w", 0.0, 4.0, "constant.mp4")]
    found, work = [], []
    for config in (stream, offline):
        spy = sessions.load_model(checkpoint, config)
        played = play(config, items, spy, run_dir / config.stream.mode)
        scores = {(r.query, r.system): r.scores for r in played.of(Turns)}
        found.append((answers(played), scores))
        work.append(sum(end.frames_decoded for end in played.of(SessionEnd)))
    assert found[0] == found[1]
    assert work[1] > 3 * work[0]


def test_a_kv_cache_changes_no_answer_while_nothing_leaves_the_windows(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    found = []
    for reuse in ("embed", "kv"):
        cache = {"streaming_embed_cache": {"reuse": reuse}, "s2": {"window": {"max_frames": 64}}}
        config = make_config(data, system=cache)
        spy = sessions.load_model(checkpoint, config)
        found.append(answers(play(config, some_questions(), spy, run_dir / reuse)))
    assert {key: text for key, (text, _) in found[0].items()} == {
        key: text for key, (text, _) in found[1].items()
    }
    for key, (_, confidence) in found[0].items():
        assert found[1][key][1] == pytest.approx(confidence, abs=1e-5)


@pytest.mark.parametrize("reuse", ["none", "embed", "kv"])
def test_offline_a_late_question_plays_from_where_its_windows_begin(
    data: Path, run_dir: Path, checkpoint: Path, reuse: str
) -> None:
    """Also at 5/2 frames per second, where only every second second is a tick."""
    (data / "long").mkdir(exist_ok=True)
    videos.constant(data / "long", frames=900)
    items = [question(f"q{t}", t, "long/constant.mp4") for t in (3.3, 24.7, 29.8)]
    cache = {"streaming_embed_cache": {"reuse": reuse}}
    for fps in ("2", "5/2"):
        found, work = [], []
        for prune in ("off", "auto"):
            config = make_config(
                data, video={"fps": fps, "prune": prune}, stream={"mode": "offline"}, system=cache
            )
            spy = sessions.load_model(checkpoint, config)
            played = play(config, items, spy, run_dir / fps.replace("/", "_") / prune)
            found.append((answers(played), {(g.key, g.system): g.window for g in spy.given}))
            work.append([end.frames_decoded for end in played.of(SessionEnd)])
        assert len(found[0][0]) == 9
        assert found[0] == found[1]
        assert sum(work[1]) < sum(work[0]) / 2


def test_the_same_session_gives_the_same_answers_and_routes_again(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    items = [*some_questions(), instruction("w", 0.0, 4.0, "constant.mp4")]
    found = []
    for place in "ab":
        played = play(config, items, sessions.load_model(checkpoint, config), run_dir / place)
        found.append([_without_times(record) for record in played.records])
    assert found[0] == found[1]


def test_paced_by_the_wall_clock_the_answers_are_the_same(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    items = [question("q", 0.6, "constant.mp4"), instruction("w", 0.0, 0.5, "constant.mp4")]
    found = []
    for clock in ("virtual", "realtime"):
        config = make_config(data, stream={"clock": clock})
        played = play(config, items, sessions.load_model(checkpoint, config), run_dir / clock)
        found.append(answers(played))
    assert found[0] == found[1]
    assert len(found[0]) == 3


def _without_times(record: Any) -> dict[str, Any]:
    measured = ("service_ns", "ttft_ns", "encode_ns", "prefill_ns", "decode_ns", "model_ns")
    values = record.model_dump(exclude={"t_wall_ns", "wall_ns", *measured})
    return {key: value for key, value in values.items() if not key.startswith("decode_")}


# -- dialogues and memory -------------------------------------------------------------------------


def messages_of(spy: Spy, system: str, key: str) -> tuple[str, ...]:
    (given,) = [each for each in spy.given if (each.system, each.key) == (system, key)]
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
