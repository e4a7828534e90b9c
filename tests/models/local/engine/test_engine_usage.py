"""What replies and counters say about the work of the engine is what was done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from dsb.models.local.backend import LocalBackend
from dsb.models.local.families.tokens import Tokens
from engine_answers import watch
from engine_reference import with_cache
from local_streams import Stream, load, random_frames, write_video
from random_checkpoints import write_checkpoint

SIZE = (112, 56)
COUNT = 24
LETTERS = ("A", "B")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    return load(write_checkpoint(tmp_path_factory.mktemp("checkpoint"), "qwen2_5_vl"), "kv")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(COUNT, SIZE))
    opened = Stream.open(path, SIZE, COUNT)
    yield opened
    opened.source.close()


@pytest.mark.parametrize("kv", ["strict", "evict", "view"])
@pytest.mark.parametrize("stride", [1, 3, 50])
def test_what_is_not_cached_is_computed(
    backend: LocalBackend, stream: Stream, kv: str, stride: int
) -> None:
    """Letters are scored in the forward of the question, so nothing else is computed."""
    own = with_cache(backend, prefill_stride=stride)
    others = [watch(stream, own, 8)] if kv == "view" else []
    conversation = watch(stream, own, 4 if others else 8, kv, "s1")
    for shown in (3, 4, 10, 15, 16, COUNT):
        for each in (*others, conversation):
            stream.observe(each, 0, shown)
        before = own.counters("session").tokens_computed
        first = conversation.ask(stream.request(shown - 1, candidates=LETTERS)).usage
        between = own.counters("session").tokens_computed
        again = conversation.ask(stream.request(shown - 1, candidates=LETTERS)).usage
        after = own.counters("session").tokens_computed
        assert again.input_tokens - again.cached_tokens == after - between
        assert again.input_tokens == first.input_tokens
        # Of the patches that waited, some have left the window at once.
        assert first.input_tokens - first.cached_tokens <= between - before
        if stride < 4 and kv != "view":
            assert first.input_tokens - first.cached_tokens == between - before
    for each in (*others, conversation):
        each.close()


@pytest.mark.parametrize("stride", [1, 50])
def test_the_model_time_of_a_session_is_that_of_its_calls(
    backend: LocalBackend, stream: Stream, stride: int
) -> None:
    own = with_cache(backend, prefill_stride=stride)
    conversation = watch(stream, own, 64)
    stream.observe(conversation, 0, COUNT)
    counters = own.counters("session")
    ahead = counters.model_ns
    assert ahead == counters.prefill_ns
    assert (ahead > 0) == (stride == 1)
    timings = [conversation.ask(stream.request(COUNT - 1)).timing for _ in range(2)]
    inside = sum(timing.prefill_ns + timing.decode_ns for timing in timings)
    assert counters.model_ns == ahead + inside
    for timing in timings:
        parts = timing.encode_ns + timing.prefill_ns + timing.decode_ns
        assert parts <= timing.service_ns
        assert timing.ttft_ns <= timing.service_ns
    conversation.close()


@pytest.mark.parametrize("kv", ["strict", "evict"])
def test_questions_are_one_forward_whatever_has_left_the_window(
    backend: LocalBackend, stream: Stream, monkeypatch: pytest.MonkeyPatch, kv: str
) -> None:
    """What a strict window lacks is read with the first question, and is there for the next ones."""
    conversation = watch(stream, backend, 4, kv)
    forward, sizes = backend.family.hidden, []

    def counted(tokens: Tokens, *rest: Any) -> torch.Tensor:
        sizes.append(len(tokens))
        return forward(tokens, *rest)

    for shown in (4, 8):
        stream.observe(conversation, 0, shown)
        requests = [stream.request(shown - 1, candidates=LETTERS) for _ in range(3)]
        question = conversation.ask(requests[0]).usage
        with monkeypatch.context() as patch:
            patch.setattr(backend.family, "hidden", counted)
            conversation.ask_many(requests)
        assert sizes.pop() == 3 * (
            question.input_tokens - conversation.ask(requests[0]).usage.cached_tokens
        )
        assert not sizes
    stream.observe(conversation, 0, 12)
    with monkeypatch.context() as patch:
        patch.setattr(backend.family, "hidden", counted)
        usage = conversation.ask(stream.request(11, candidates=LETTERS)).usage
    assert sizes == [usage.input_tokens - usage.cached_tokens]
    assert (usage.cached_tokens == 0) == (kv == "strict")
    conversation.close()
