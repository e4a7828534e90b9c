"""A session on a live source: its questions have their time, and what was not asked in time has failed."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import live_sources as live
from dsb._core import Window
from dsb.config.schema import RunConfig
from dsb.models.backend import Conversation, Receipt, StreamSpec
from dsb.runlog.records import Answered, Call, Failure, Frames, Gap, SessionEnd, Turns
from sessions import Played, Spy, instruction, load_model, make_config, play, question

torch.set_num_threads(1)
SECOND = 1_000_000_000
#: A size that the model takes and in which frame numbers can be read.
SIZE = {"width": 140, "height": 56}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live.recording(tmp_path_factory.mktemp("live"), frames=900)


def live_config(source: str, fps: int = 10, **sections: Any) -> RunConfig:
    stream = {"source": source, "clock": "realtime", "analyze_s": 0.5, **sections.pop("stream", {})}
    return make_config(Path("unused"), stream=stream, video={"fps": fps, **SIZE}, **sections)


def end_of(played: Played) -> SessionEnd:
    (end,) = played.of(SessionEnd)
    return end


def shown(played: Played) -> list[int]:
    """Times of all frames that were handed over."""
    return [pts for record in played.of(Frames) for pts in record.pts_ns]


def test_questions_are_asked_at_their_time_about_what_had_come(
    video: Path, checkpoint: Path, tmp_path: Path
) -> None:
    config = live_config(str(video))
    spy = load_model(checkpoint, config)
    items = [
        question("early", 0.5, "camera"),
        question("late", 1.5, "camera"),
        instruction("watch", 0.4, 1.45, "camera"),
    ]
    begun = time.monotonic()
    played = play(config, items, spy, tmp_path)
    assert time.monotonic() - begun > 1.0
    assert [outcome.done for outcome in played.outcomes] == [True]
    assert {given.query for given in spy.given} == {"early", "late", "watch"}
    for given in spy.given:
        if given.system != "blind":
            # The newest frame is at most two sampling intervals old, and none is of the future.
            newest = given.observed[-1] / live.CAMERA_FPS
            assert given.t_ns / SECOND - 1.2 < newest <= given.t_ns / SECOND + 0.001
    figures = end_of(played).live
    assert figures is not None
    assert figures.frames_dropped == figures.gaps == 0
    assert figures.frames_come >= len(shown(played)) > 0
    assert 0 <= figures.ring_p50_ns <= figures.ring_p95_ns
    assert figures.window_p50_ns is not None


def test_an_outage_is_a_gap_in_the_log_and_in_the_windows(
    video: Path, checkpoint: Path, tmp_path: Path
) -> None:
    camera = live.HttpCamera(video)
    config = live_config(camera.address, stream={"reconnect_s": 20})
    spy = load_model(checkpoint, config)

    def lose() -> None:
        # The first connection only asks what there is.
        while camera.answered < 2:
            time.sleep(0.02)
        time.sleep(1.2)
        camera.cut()

    cutter = threading.Thread(target=lose)
    cutter.start()
    played = play(config, [question("q", 5.0, "camera")], spy, tmp_path)
    cutter.join()
    camera.close()
    gaps = played.of(Gap)
    assert gaps
    times = shown(played)
    assert times == sorted(set(times))
    for gap in gaps:
        assert not [t for t in times if gap.from_ns < t < gap.to_ns]
        assert gap.attempts >= 1
    figures = end_of(played).live
    assert figures is not None
    assert figures.gaps == len(gaps)
    assert figures.gap_ns == sum(gap.to_ns - gap.from_ns for gap in gaps)
    assert {answer.system for answer in played.of(Answered)} == {"s1", "s2", "blind"}


def test_what_a_lost_stream_can_no_longer_be_asked_has_failed(
    video: Path, checkpoint: Path, tmp_path: Path
) -> None:
    camera = live.HttpCamera(video)
    config = live_config(camera.address, stream={"reconnect_s": 0.5})
    spy = load_model(checkpoint, config)
    items = [
        question("asked", 0.5, "camera"),
        question("lost", 60.0, "camera"),
        instruction("watch", 0.2, 59.0, "camera"),
    ]
    closer = threading.Timer(2.5, camera.close)
    closer.start()
    played = play(config, items, spy, tmp_path)
    closer.join()
    assert [outcome.done for outcome in played.outcomes] == [True]
    assert {answer.query for answer in played.of(Answered)} == {"asked"}
    failed = {(failure.query, failure.system) for failure in played.of(Failure)}
    systems = ("s1", "s2", "blind")
    assert failed == {(key, system) for key in ("lost", "watch") for system in systems}
    assert {failure.type for failure in played.of(Failure)} == {"StreamLost"}
    ticks = [state for turns in played.of(Turns) if turns.system == "s1" for state in turns.states]
    assert len(ticks) == 59
    assert ticks[0] == "processed"
    assert set(ticks[10:]) == {"unknown"}
    end = end_of(played)
    assert (end.queries_done, end.queries_failed) == (1, 2)
    assert [gap.to_ns for gap in played.of(Gap)][-1] is None


@pytest.fixture
def _ctrl_c_is_met() -> Iterator[None]:
    """Also where the tests run in the background of a script, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_is_met")
def test_ctrl_c_keeps_the_answers_until_then(video: Path, checkpoint: Path, tmp_path: Path) -> None:
    config = live_config(str(video))
    spy = load_model(checkpoint, config)
    timer = threading.Timer(2.5, _thread.interrupt_main)
    timer.start()
    items = [question("asked", 0.5, "camera"), question("lost", 25.0, "camera")]
    played = play(config, items, spy, tmp_path)
    (outcome,) = played.outcomes
    assert outcome.interrupted
    assert {answer.query for answer in played.of(Answered)} == {"asked"}
    assert {failure.query for failure in played.of(Failure)} == {"lost"}
    assert end_of(played).queries_failed == 1


class Slow(Spy):
    """A backend that takes long to look at frames."""

    def open(self, spec: StreamSpec) -> Conversation:
        return _Slow(super().open(spec))


class _Slow:
    def __init__(self, inner: Conversation) -> None:
        self.abilities = inner.abilities
        self._inner = inner
        self.ask, self.ask_many = inner.ask, inner.ask_many
        self.watch, self.turn, self.close = inner.watch, inner.turn, inner.close

    def observe(self, window: Window) -> Receipt:
        receipt = self._inner.observe(window)
        # The frames are given back before the next ones are wanted.
        time.sleep(0.4)
        return receipt


def test_a_slow_model_sees_the_newest_frames_and_the_lost_ones_are_counted(
    video: Path, checkpoint: Path, tmp_path: Path
) -> None:
    # The ring holds a second of the stream; models that look need more than a second for it.
    config = live_config(str(video), fps=30, stream={"queue_frames": 1})
    spy = load_model(checkpoint, config)
    played = play(config, [question("q", 4.0, "camera")], Slow(spy.inner), tmp_path)
    times = shown(played)
    assert times == sorted(set(times)), "in order, none twice"
    figures = end_of(played).live
    assert figures is not None
    assert figures.frames_dropped > 0
    assert figures.frames_dropped + len(times) <= figures.frames_come
    calls = {call.system: call.visible_until_ns for call in played.of(Call)}
    assert calls["s1"] == calls["s2"] == times[-1]
    assert 4 * SECOND - times[-1] < SECOND


def test_the_password_of_a_camera_is_nowhere_in_the_log(checkpoint: Path, tmp_path: Path) -> None:
    address = f"rtsp://guest:secret@127.0.0.1:{live.free_port()}/camera"
    config = live_config(address, stream={"reconnect_s": 0})
    spy = load_model(checkpoint, config)
    played = play(config, [question("q", 1.0, "camera")], spy, tmp_path)
    (outcome,) = played.outcomes
    assert not outcome.done
    assert "guest:***@" in outcome.error
    text = "".join(path.read_text() for path in (tmp_path / "log").glob("*.jsonl"))
    assert "guest:***@" in text
    assert "secret" not in text + outcome.error + config.model_dump_json()
