"""A session plays a video once, and shows nothing early."""

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
from dsb.errors import CausalityError
from dsb.runlog.records import (
    Frames,
    Route,
    SessionEnd,
    Turns,
)
from sessions import (
    instruction,
    make_config,
    play,
    question,
    some_questions,
)
from videos import Video

torch.set_num_threads(1)
NS = 10**9


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
