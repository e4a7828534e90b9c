"""The input hash tells apart what an answer may depend on, and nothing else."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from children import run
from dsb._core import EmbeddingRing, WindowSpec
from dsb.errors import ModelError
from dsb.models.backend import Generation, Message
from dsb.models.digest import InputDigest
from local_streams import Stream, random_frames, write_video

SIZE = (56, 56)
COUNT = 24
WINDOW = WindowSpec(max_frames=4)
LETTERS = ("A", "B", "C", "D")
HISTORY = (Message("user", "Is it red?"), Message("assistant", "yes"))
#: Prints `asked(shown(stream, 10), stream)`.
ANOTHER_PROCESS = """
import sys
from fractions import Fraction
from pathlib import Path
from dsb._core import WindowSpec
from dsb.models.backend import Generation, Message, Request, StreamSpec
from dsb.models.digest import InputDigest
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source
from dsb.stream.view import StreamView

digest = InputDigest(StreamSpec("n", "s2", (56, 56), Fraction(2), WindowSpec(max_frames=4)))
with open_source(DecodeRequest(Path(sys.argv[1]), fps=Fraction(2)), capacity=25) as source:
    view = StreamView(source.frames, 4_500_000_000)
    with source.frames.window(0, view.visible) as window:
        digest.observe(window)
    message = Message("user", "What color is the star now?")
    request = Request("k", view.t_ns, (message,), view, (), Generation(max_new_tokens=4))
    print(digest.input_hash(request, (6, 9)))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    return write_video(folder / "v.mkv", random_frames(COUNT, SIZE))


def opened(path: Path) -> Iterator[Stream]:
    stream = Stream.open(path, SIZE, COUNT)
    yield stream
    stream.source.close()


@pytest.fixture(scope="module")
def stream(path: Path) -> Iterator[Stream]:
    yield from opened(path)


@pytest.fixture(scope="module")
def copy(path: Path) -> Iterator[Stream]:
    """The same video under another name."""
    yield from opened(Path(shutil.copy(path, path.with_name("another.mkv"))))


@pytest.fixture(scope="module")
def other(folder: Path) -> Iterator[Stream]:
    yield from opened(write_video(folder / "other.mkv", random_frames(COUNT, SIZE, seed=1)))


@pytest.fixture(scope="module")
def other_start(folder: Path) -> Iterator[Stream]:
    """One bit of one pixel of the first frame differs."""
    frames = random_frames(COUNT, SIZE)
    frames[0, 0, 0, 0] ^= 1
    yield from opened(write_video(folder / "start.mkv", frames))


def shown(stream: Stream, *stops: int, **spec: Any) -> InputDigest:
    """What was shown frames `[0, stops[-1])` in windows that end at `stops`."""
    digest = InputDigest(replace(stream.spec("s2", WINDOW), **spec))
    for start, stop in pairwise((0, *stops)):
        observe(digest, stream, start, stop)
    return digest


def observe(digest: InputDigest, stream: Stream, start: int, stop: int) -> None:
    with stream.source.frames.window(start, stop) as window:
        digest.observe(window)


def asked(digest: InputDigest, stream: Stream, last: int = 9, **request: Any) -> str:
    """The hash of a question about frames `last - 3` to `last`."""
    return digest.input_hash(replace(stream.request(last), **request), (last - 3, last))


# -- what does not count -----------------------------------------------------------------------


@given(cuts=st.sets(st.integers(1, 9)), again=st.integers(0, 3))
def test_windows_of_any_sizes_give_the_same_hash(
    cuts: set[int], again: int, stream: Stream
) -> None:
    digest = InputDigest(stream.spec("s2", WINDOW))
    for start, stop in pairwise((0, *sorted(cuts), 10)):
        # Frames whose reading failed are shown again.
        observe(digest, stream, max(0, start - again), stop)
    assert asked(digest, stream) == asked(shown(stream, 10), stream)


def test_another_process_and_another_file_name_give_the_same_hash(
    stream: Stream, copy: Stream, path: Path
) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONHASHSEED": "7",
    }
    command = [sys.executable, "-c", ANOTHER_PROCESS, path]
    done = run(command, env=environment, text=True, check=True)
    here = asked(shown(stream, 10), stream)
    assert done.stdout.strip() == here == asked(shown(copy, 10), copy)


def test_names_do_not_count(stream: Stream) -> None:
    here = asked(shown(stream, 10), stream)
    assert asked(shown(stream, 10, session="another", system="s1"), stream) == here
    assert asked(shown(stream, 10), stream, query="another") == here


def test_requests_that_are_equal_have_the_same_hash(stream: Stream) -> None:
    digest = shown(stream, 10)
    greedy = [asked(digest, stream, generation=Generation(4, zero)) for zero in (0, 0.0)]
    assert greedy[0] == greedy[1]
    assert asked(digest, stream) == asked(digest, stream)


def test_the_time_of_a_question_does_not_count(stream: Stream) -> None:
    digest = shown(stream, 10)
    later = stream.shown_ns(9) + 1
    assert asked(digest, stream, t_ns=later) == asked(digest, stream)


def test_frames_that_are_shown_later_do_not_count(stream: Stream) -> None:
    digest = shown(stream, 10)
    here = asked(digest, stream)
    observe(digest, stream, 10, COUNT)
    assert asked(digest, stream) == here != asked(digest, stream, COUNT - 1)


# -- what counts -------------------------------------------------------------------------------


def test_the_pixels_count(stream: Stream, other: Stream) -> None:
    assert asked(shown(stream, 10), stream) != asked(shown(other, 10), other)


def test_frames_before_the_window_count(stream: Stream, other_start: Stream) -> None:
    """Keys and values that stay in a context have attended to frames that left it."""
    windows = [
        np.array(each.source.frames.window(1, 10)).tobytes() for each in (stream, other_start)
    ]
    assert windows[0] == windows[1]
    assert asked(shown(stream, 10), stream) != asked(shown(other_start, 10), other_start)


def test_a_frame_that_was_never_shown_counts(stream: Stream) -> None:
    holed = shown(stream, 3)
    observe(holed, stream, 4, 10)
    assert asked(holed, stream) != asked(shown(stream, 10), stream)


def test_the_first_frame_of_the_window_counts(stream: Stream) -> None:
    digest, request = shown(stream, 10), stream.request(9)
    assert len({digest.input_hash(request, (first, 9)) for first in range(10)}) == 10


def of_frames(stream: Stream, times: Sequence[int], *windows: tuple[int, int]) -> str:
    """The hash after `windows` on black frames with these times."""
    ring = EmbeddingRing(record_bytes=8, capacity=4)
    for pts_ns in times:
        ring.push(bytes(8), pts_ns)
    digest = InputDigest(stream.spec("s2", WINDOW))
    for start, stop in windows:
        digest.observe(ring.window(start, stop))
    return asked(digest, stream, 3)


def test_the_times_of_frames_count(stream: Stream) -> None:
    early, late = (of_frames(stream, (0, pts_ns, 5, 9), (0, 4)) for pts_ns in (2, 3))
    assert early != late


def test_the_ids_of_frames_count(stream: Stream) -> None:
    """They decide which frames are encoded together; live, some are never shown."""
    times = (0, 5, 5, 9)
    assert of_frames(stream, times, (0, 2), (3, 4)) != of_frames(stream, times, (0, 1), (2, 4))


@pytest.mark.parametrize("changed", [{"size": (112, 56)}, {"fps": Fraction(3)}])
def test_size_and_sampling_rate_count(stream: Stream, changed: dict[str, Any]) -> None:
    assert asked(shown(stream, 10, **changed), stream) != asked(shown(stream, 10), stream)


def test_every_part_of_a_request_counts(stream: Stream) -> None:
    base = stream.request(9, "Where?", LETTERS, Generation(4, stop=("\n",)), HISTORY)
    turned = tuple(replace(each, role="user") for each in base.messages)
    requests = [
        base,
        replace(base, messages=base.messages[2:]),
        replace(base, messages=(*HISTORY[::-1], base.messages[2])),
        replace(base, messages=turned),
        replace(base, candidates=LETTERS[:3]),
        replace(base, candidates=LETTERS[::-1]),
        replace(base, candidates=()),
        replace(base, candidates=(), messages=(*base.messages, Message("user", "A"))),
    ]
    digest = shown(stream, 10)
    assert len({digest.input_hash(each, (6, 9)) for each in requests}) == len(requests)


def test_every_setting_of_generation_counts(stream: Stream) -> None:
    others: dict[str, Any] = {
        "max_new_tokens": 5,
        "temperature": 0.5,
        "seed": 1,
        "stop": ("\n",),
        "schema": "{}",
    }
    assert set(others) == {field.name for field in fields(Generation)}
    settings = [Generation(4), *(replace(Generation(4), **{name: others[name]}) for name in others)]
    digest = shown(stream, 10)
    assert len({asked(digest, stream, generation=each) for each in settings}) == len(settings)


def test_stop_strings_and_text_are_not_mixed_up(stream: Stream) -> None:
    digest = shown(stream, 10)
    stops = [("a", "b"), ("ab",), ('a","b',), ("a", "b", "")]
    hashes = {asked(digest, stream, generation=Generation(stop=each)) for each in stops}
    assert len(hashes) == len(stops)


def test_the_time_counts_where_it_decides_which_frames_are_sampled(stream: Stream) -> None:
    """At 1.5 of 2 frames per second, the same first and last frame have others between them."""
    window = WindowSpec(max_frames=4, rate=(3, 2))
    times = [stream.shown_ns(9), stream.shown_ns(9) + 400_000_000]
    seen = [stream.source.frames.at(t_ns, window).ids for t_ns in times]
    assert seen == [(5, 6, 7, 9), (5, 7, 8, 9)]
    digest = shown(stream, 10, window=window)
    hashes = [digest.input_hash(replace(stream.request(9), t_ns=t_ns), (5, 9)) for t_ns in times]
    assert hashes[0] != hashes[1]


def test_the_rate_of_a_window_counts(stream: Stream) -> None:
    """It decides which frames between the first and the last are seen."""
    windows = [WindowSpec(max_frames=5), *(WindowSpec(max_frames=5, rate=(n, 1)) for n in (1, 2))]
    hashes = {
        shown(stream, 10, window=each).input_hash(stream.request(9), (5, 9)) for each in windows
    }
    assert len(hashes) == 3


# -- without frames ----------------------------------------------------------------------------


def blind(stream: Stream, **spec: Any) -> str:
    digest = shown(stream, 10, system="blind", window=None, **spec)
    return digest.input_hash(stream.request(9, candidates=LETTERS), None)


def test_a_blind_question_is_the_same_in_every_video(stream: Stream, other: Stream) -> None:
    assert blind(stream) == blind(other) == blind(stream, fps=Fraction(5))


def test_a_system_that_has_seen_nothing_yet_is_asked_what_a_blind_one_is(stream: Stream) -> None:
    request = stream.request(9, candidates=LETTERS)
    assert InputDigest(stream.spec("s2", WINDOW)).input_hash(request, None) == blind(stream)


def test_the_size_of_the_black_picture_counts(stream: Stream) -> None:
    assert blind(stream, size=(112, 56)) != blind(stream)


def test_a_blind_conversation_hashes_no_pixels(stream: Stream) -> None:
    with stream.source.frames.window(0, 10) as window:
        InputDigest(stream.spec("blind", None)).observe(window)
    with pytest.raises(ValueError, match="released"):
        window.digests()


# -- no wrong hash -----------------------------------------------------------------------------


def test_a_frame_that_was_not_shown_has_no_hash(stream: Stream) -> None:
    with pytest.raises(ModelError, match=r"frame 9 is none of the newest 1024 .* of s2"):
        asked(shown(stream, 9), stream)


def test_a_question_can_come_late_but_not_by_more_than_what_is_kept(stream: Stream) -> None:
    ring = EmbeddingRing(record_bytes=8, capacity=1024)
    early, late = (InputDigest(stream.spec("s2", WINDOW)) for _ in range(2))
    for number in range(10 + 1024):
        ring.push(number.to_bytes(8), number)
        with ring.window(number, number + 1) as window:
            late.observe(window)
            if number <= 10:
                early.observe(window)
    request = stream.request(10)
    assert late.input_hash(request, (7, 10)) == early.input_hash(request, (7, 10))
    with pytest.raises(ModelError, match="ask in stream order"):
        late.input_hash(request, (6, 9))
