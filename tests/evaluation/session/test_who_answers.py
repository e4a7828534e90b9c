"""A session asks whom its router and its configuration say, and nobody's answer depends on who else is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import sessions
import videos
from dsb.config.schema import RunConfig
from dsb.runlog.records import (
    Answered,
    Route,
    SessionEnd,
    Turns,
)
from sessions import (
    answers,
    instruction,
    make_config,
    play,
    question,
    some_questions,
)
from videos import Video

torch.set_num_threads(1)


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
    config, items = routed(data, "s1_uncertainty"), some_questions()
    played = play(config, items, sessions.load_model(checkpoint, config), run_dir)
    sure = {a.query: a.confidence for a in played.of(Answered) if a.system == "s1"}
    escalated = {a.query for a in played.of(Answered) if a.system == "s2"}
    routes = played.of(Route)
    assert {route.query for route in routes} == sure.keys() == {item.id for item in items}
    for route in routes:
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
            found.append((answers(played), {(g.query, g.system): g.window for g in spy.given}))
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
    load = ("s2_waiting", "s2_backlog_s")  # follows from the service times
    values = record.model_dump(exclude={"t_wall_ns", "wall_ns", *measured, *load})
    return {key: value for key, value in values.items() if not key.startswith("decode_")}
