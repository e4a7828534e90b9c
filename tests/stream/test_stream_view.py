"""A view at t yields what was on screen until t, and nothing later, whatever it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

import videos
from dsb._core import FrameSource, Window, WindowSpec
from dsb.errors import CausalityError, FrameEvicted
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source
from dsb.stream.view import StreamView
from dsb.stream.window import NS_PER_S, exact, seconds_to_ns, window_spec
from videos import Video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    return videos.variable(tmp_path_factory.mktemp("variable"))


@pytest.fixture
def source(video: Video) -> Iterator[FrameSource]:
    with open_source(DecodeRequest(video.path), capacity=len(video.pts) + 1) as opened:
        yield opened


def shown(window: Window) -> list[int]:
    with window:
        return [videos.read_number(frame) for frame in np.asarray(window)]


def reference(video: Video, t: Fraction, span: Fraction, fps: Fraction, most: int) -> list[int]:
    """Frames on screen at t, t - 1/fps, ... for moments within (t - span, t].

    The newest `most` of them, each once, oldest first.
    """
    numbers: list[int] = []
    moment = t
    while moment > t - span and moment >= 0 and len(numbers) < most:
        number = video.on_screen(moment)
        if number is not None and number not in numbers:
            numbers.append(number)
        moment -= 1 / fps
    return numbers[::-1]


@pytest.mark.parametrize("t", ["0", "0.5", "1.301", "2.4", "3.9", "4.1", "5.68", "9"])
def test_a_window_holds_the_frames_that_were_on_screen(
    video: Video, source: FrameSource, t: str
) -> None:
    spec = window_spec(span_s=2, fps=4, max_frames=5)
    view = StreamView(source.frames, seconds_to_ns(t))
    expected = reference(video, Fraction(t), Fraction(2), Fraction(4), 5)
    assert shown(view.at(spec)) == expected


def test_no_window_of_any_shape_reaches_past_t(video: Video, source: FrameSource) -> None:
    source.frames.wait_until(10 * NS_PER_S, timeout_s=60)
    for t in (Fraction(0), video.pts[40] - Fraction(1, 10**9), video.pts[40], Fraction(3)):
        view = StreamView(source.frames, int(t * NS_PER_S))
        for spec in (WindowSpec(max_frames=500), window_spec(fps=Fraction(3, 7), max_frames=9)):
            window = view.at(spec)
            assert max(window.pts_ns) <= view.t_ns
            assert all(video.pts[number] <= t for number in shown(window))


def test_the_answer_does_not_depend_on_how_far_the_decoder_is(video: Video) -> None:
    spec = window_spec(span_s=1, max_frames=100)
    answers = []
    for wait_first in (False, True):
        with open_source(DecodeRequest(video.path), capacity=200) as source:
            if wait_first:
                source.frames.wait_until(10 * NS_PER_S, timeout_s=60)
            answers.append(shown(StreamView(source.frames, 2 * NS_PER_S).at(spec)))
    assert answers[0] == answers[1]


def test_frames_can_be_had_by_id_up_to_t_and_not_beyond(source: FrameSource) -> None:
    view = StreamView(source.frames, NS_PER_S)
    assert shown(view.window(view.visible - 3, view.visible)) == [28, 29, 30]
    with pytest.raises(CausalityError, match=r"after 1.000 s"):
        view.window(view.visible - 1, view.visible + 1)


def test_what_was_overwritten_is_an_error_and_not_another_frame(video: Video) -> None:
    with open_source(DecodeRequest(video.path), capacity=4, overflow="drop-oldest") as source:
        source.frames.wait_until(10 * NS_PER_S, timeout_s=60)
        assert source.frames.oldest > 0
        with pytest.raises(FrameEvicted):
            StreamView(source.frames, 10 * NS_PER_S).window(0, 1)


def test_a_view_before_the_stream_is_refused(source: FrameSource) -> None:
    with pytest.raises(ValueError, match="starts at 0"):
        StreamView(source.frames, -1)


@pytest.mark.parametrize(
    ("given", "meant"),
    [(0.1, "1/10"), (29.97, "2997/100"), ("30000/1001", "30000/1001"), (2, "2")],
)
def test_numbers_of_people_are_taken_exactly(given: float | str, meant: str) -> None:
    assert exact(given) == Fraction(meant)


def test_a_question_between_two_nanoseconds_sees_what_happened_until_then() -> None:
    assert seconds_to_ns("1/3") == 333_333_334
    assert seconds_to_ns(0.1) == 100_000_000


def test_a_window_in_seconds_becomes_exact_numbers() -> None:
    spec = window_spec(span_s=0.7, fps=29.97, max_frames=8)
    assert (spec.span_ns, spec.rate, spec.max_frames) == (700_000_000, (2997, 100), 8)
    assert window_spec(max_frames=3).span_ns is None


@pytest.mark.parametrize("wrong", [{"span_s": 0}, {"fps": -1}, {"max_frames": 0}])
def test_an_impossible_window_is_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"window.{next(iter(wrong))}"):
        window_spec(**{"max_frames": 4} | wrong)  # type: ignore[arg-type]
