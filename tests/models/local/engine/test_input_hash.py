"""Local models give a question the same input hash however they came to its answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dsb._core import WindowSpec
from dsb.errors import ModelError
from dsb.models.backend import Conversation, Reply
from dsb.models.local.backend import LocalBackend
from dsb.stream.view import StreamView
from local_streams import Stream, load, random_frames, write_video
from random_checkpoints import write_checkpoint

SIZE = (112, 56)
COUNT = 24
LETTERS = ("A", "B", "C", "D")
REUSE = ("none", "embed", "kv")
#: The system whose frames leave its context under `kv`.
SYSTEM = "s2"


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LocalBackend]:
    folder = write_checkpoint(tmp_path_factory.mktemp("checkpoint"), "qwen2_5_vl")
    return {reuse: load(folder, reuse) for reuse in REUSE}


def opened(folder: Path, seed: int, size: tuple[int, int] = SIZE) -> Iterator[Stream]:
    stream = Stream.open(
        write_video(folder / "v.mkv", random_frames(COUNT, size, seed)), size, COUNT
    )
    yield stream
    stream.source.close()


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    yield from opened(tmp_path_factory.mktemp("video"), 0)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    yield from opened(tmp_path_factory.mktemp("other"), 1)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    yield from opened(tmp_path_factory.mktemp("small"), 0, (56, 56))


def ask(conversation: Conversation, stream: Stream, frame: int) -> Reply:
    return conversation.ask(stream.request(frame, candidates=LETTERS))


def hashes(backend: LocalBackend, stream: Stream, step: int) -> dict[int, str]:
    """Frame -> hash of the question when it came, of windows of six frames shown `step` by `step`."""
    conversation = stream.watcher(backend, 0, system=SYSTEM)
    asked = {}
    for start in range(0, COUNT, step):
        stream.observe(conversation, start, min(start + step, COUNT))
        last = min(start + step, COUNT) - 1
        reply = ask(conversation, stream, last)
        assert reply.frames is not None
        assert reply.frames[1] == last
        asked[last] = reply.input_hash
    conversation.close()
    return asked


def test_reuse_and_batches_of_frames_do_not_change_it(
    backends: dict[str, LocalBackend], stream: Stream
) -> None:
    every = hashes(backends["none"], stream, 1)
    assert len(set(every.values())) == COUNT
    for reuse, backend in backends.items():
        for step in (1, 2, 7, COUNT):
            assert hashes(backend, stream, step).items() <= every.items(), (reuse, step)
    assert backends["kv"].counters("session").patches_evicted > 0


@pytest.mark.parametrize("reuse", REUSE)
def test_two_videos_with_the_same_question_and_frames_differ(
    backends: dict[str, LocalBackend], stream: Stream, other: Stream, reuse: str
) -> None:
    replies = []
    for each in (stream, other):
        conversation = each.watcher(backends[reuse], 10, system=SYSTEM)
        replies.append(ask(conversation, each, 9))
        conversation.close()
    assert replies[0].frames == replies[1].frames == (4, 9)
    assert replies[0].input_hash != replies[1].input_hash


def test_a_question_that_failed_has_the_same_hash_when_it_is_asked_again(
    backends: dict[str, LocalBackend], stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backends["kv"]
    conversation = stream.watcher(backend, 8, system=SYSTEM)

    def broken(*_: object) -> None:
        raise RuntimeError("shapes differ")

    with monkeypatch.context() as patch:
        patch.setattr(backend.family, "hidden", broken)
        with pytest.raises(ModelError, match="reading frames"):
            stream.observe(conversation, 8, 10)
        with pytest.raises(ModelError, match="answering"):
            ask(conversation, stream, 9)
    stream.observe(conversation, 8, 10)
    assert ask(conversation, stream, 9).input_hash == hashes(backends["none"], stream, 10)[9]
    conversation.close()


@pytest.mark.parametrize("reuse", ["none", "embed"])
def test_a_question_that_comes_late_has_the_hash_of_its_own_time(
    backends: dict[str, LocalBackend], stream: Stream, reuse: str
) -> None:
    """Without a context that moves on, earlier whole patches can be asked about."""
    conversation = stream.watcher(backends[reuse], 12, most=12, system=SYSTEM)
    late = ask(conversation, stream, 9)
    conversation.close()
    conversation = stream.watcher(backends[reuse], 10, most=12, system=SYSTEM)
    assert ask(conversation, stream, 9).input_hash == late.input_hash
    conversation.close()


def test_blind_questions_are_the_same_for_all_videos_of_a_size(
    backends: dict[str, LocalBackend], stream: Stream, other: Stream, small: Stream
) -> None:
    replies = []
    for each in (stream, other, small):
        conversation = backends["kv"].open(each.spec("blind", None))
        each.observe(conversation, 0, 10)
        replies.append(ask(conversation, each, 9))
        conversation.close()
    same, again, smaller = replies
    assert again.input_hash == same.input_hash
    assert again.candidate_logprobs == same.candidate_logprobs
    # A black picture of another size is another input, and gives other probabilities.
    assert smaller.input_hash != same.input_hash
    assert smaller.candidate_logprobs != same.candidate_logprobs


@pytest.mark.parametrize("reuse", REUSE)
def test_a_window_without_a_frame_is_hashed_without_the_stream(
    backends: dict[str, LocalBackend], stream: Stream, other: Stream, reuse: str
) -> None:
    """Everything that was shown is too old for the window."""
    window = WindowSpec(max_frames=6, span_ns=100_000_000)
    replies = []
    for each in (stream, other):
        conversation = backends[reuse].open(each.spec(SYSTEM, window))
        each.observe(conversation, 0, 10)
        view = StreamView(each.source.frames, each.shown_ns(9) + 200_000_000)
        request = each.request(9, candidates=LETTERS)
        replies.append(conversation.ask(replace(request, t_ns=view.t_ns, view=view)))
        conversation.close()
    assert replies[0].frames is replies[1].frames is None
    assert replies[0].input_hash == replies[1].input_hash
    assert replies[0].candidate_logprobs == replies[1].candidate_logprobs
