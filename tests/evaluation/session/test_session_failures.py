"""What fails in a session is logged with its class, and everything else goes on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import sessions
import videos
from dsb.errors import ModelError, RateLimited
from dsb.evaluation.session import retrying
from dsb.runlog.records import (
    Failure,
    Retry,
    Route,
    SessionEnd,
    SessionStart,
    Turns,
)
from sessions import answers, instruction, make_config, play, question, some_questions
from videos import Video

torch.set_num_threads(1)


def test_a_query_that_fails_leaves_its_session_running(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    spy = sessions.load_model(checkpoint, config)
    spy.failures["s2", "q1"] = [ModelError("the model broke")]
    played = play(config, some_questions(), spy, run_dir)
    (failure,) = played.of(Failure)
    assert (failure.query, failure.system, failure.type) == ("q1", "s2", "ModelError")
    assert failure.message == "the model broke"
    assert "Traceback" in failure.traceback
    assert answers(played).keys() == {
        (f"q{k}", system) for k in range(6) for system in ("s1", "s2", "blind")
    } - {("q1", "s2")}
    (end,) = played.of(SessionEnd)
    assert (end.queries_done, end.queries_failed) == (5, 1)


def test_an_error_that_may_heal_is_tried_again(
    data: Path,
    constant: Video,
    run_dir: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT_S", 0.001)
    config = make_config(data)
    spy = sessions.load_model(checkpoint, config)
    spy.failures["s1", "q1"] = [RateLimited("slow down"), RateLimited("slow down")]
    spy.failures["s1", "q2"] = [RateLimited("slow down")] * 3
    played = play(config, some_questions(), spy, run_dir)
    assert ("q1", "s1") in answers(played)
    assert ("q2", "s1") not in answers(played)
    assert [retry.attempt for retry in played.of(Retry) if retry.query == "q1"] == [1, 2]
    (end,) = played.of(SessionEnd)
    assert (end.queries_done, end.queries_failed) == (5, 1)


def test_a_tick_that_fails_is_unknown_and_not_silent(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(data)
    spy = sessions.load_model(checkpoint, config)
    spy.failures["s2", "w"] = [ModelError("broken")]
    items = [instruction("w", 1.0, 4.0, "constant.mp4")]
    played = play(config, items, spy, run_dir)
    states = {record.system: record.states for record in played.of(Turns)}
    assert states["s2"] == ["unknown", "processed", "processed", "processed"]
    assert states["s1"] == ["processed"] * 4
    assert played.of(SessionEnd)[0].queries_failed == 1


def test_a_router_that_fails_is_replaced_by_the_fallback(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    # S1 writes text without saying how sure it is when it is asked for JSON that it cannot write.
    config = make_config(data, system={"scheduler": {"fallback": "s2"}})
    spy = sessions.load_model(checkpoint, config)
    spy.failures["s1", "q1"] = [ModelError("broken")]
    played = play(config, some_questions(2), spy, run_dir)
    routes = {route.query: route for route in played.of(Route)}
    assert not routes["q0"].fallback
    assert routes["q1"].fallback
    assert routes["q1"].actions == ["s2"]
    assert "RoutingError" in routes["q1"].reason


@pytest.mark.parametrize("video", ["missing.mp4", "text.mp4", "cut.mp4"])
def test_a_broken_video_ends_its_session_and_no_other(
    video: str, data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    (data / "text.mp4").write_text("no video")
    videos.truncated(constant, data / "cut.mp4", index_first=True)
    config = make_config(data)
    spy = sessions.load_model(checkpoint, config)
    items = [question("a", 4.5, video), question("b", 1.0, "constant.mp4")]
    played = play(config, items, spy, run_dir)
    assert {outcome.session: outcome.done for outcome in played.outcomes} == {
        video: False,
        "constant.mp4": True,
    }
    (failure,) = played.of(Failure)
    assert failure.query is None
    assert failure.type in {"SourceError", "DecodeError", "ProtocolError"}
    assert video in failure.message
    assert {start.session for start in played.of(SessionStart)} == {video, "constant.mp4"}
    assert {end.session for end in played.of(SessionEnd)} == {"constant.mp4"}


@pytest.mark.parametrize("strict", [True, False])
def test_damage_ends_a_strict_session_and_is_counted_in_a_lenient_one(
    strict: bool, constant: Video, run_dir: Path, tmp_path: Path, checkpoint: Path
) -> None:
    videos.truncated(constant, tmp_path / "constant.mp4", index_first=True)
    config = make_config(tmp_path, video={"fps": 2, "strict": strict})
    played = play(config, some_questions(), sessions.load_model(checkpoint, config), run_dir)
    if strict:
        (failure,) = played.of(Failure)
        assert failure.type == "DecodeError"
        assert re.search(r"constant\.mp4: (after \d+\.\d{3} s|before a frame)", failure.message)
        assert not played.of(SessionEnd)
    else:
        assert not played.of(Failure)
        (end,) = played.of(SessionEnd)
        assert end.decode_errors > 0
        assert end.queries_done == 6
