"""What goes wrong while a context is read leaves it as it was, and says what to change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from dsb._core import WindowSpec
from dsb.errors import CausalityError, ModelError, OutOfMemory
from dsb.models.backend import Conversation, Message, StreamSpec
from dsb.models.local.backend import LocalBackend
from dsb.models.local.engine import choose_prefill, context
from engine_reference import with_cache
from local_streams import FPS, Stream, content, load, random_frames, write_video
from random_checkpoints import write_checkpoint

SIZE = (112, 56)
COUNT = 24


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    return load(write_checkpoint(tmp_path_factory.mktemp("checkpoint"), "qwen2_5_vl"), "kv")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(COUNT, SIZE))
    opened = Stream.open(path, SIZE, COUNT)
    yield opened
    opened.source.close()


def watch(
    stream: Stream, backend: LocalBackend, most: int = 8, kv: str = "auto", **spec: Any
) -> Conversation:
    settings = {"session": "session", "system": "s2", **spec}
    return backend.open(
        StreamSpec(settings["session"], settings["system"], stream.size, FPS,
                   WindowSpec(max_frames=most), kv)
    )  # fmt: skip


def broken(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, after: int, text: str) -> None:
    """The language model fails in its forward number `after`."""
    forward, calls = backend.family.hidden, iter(range(10**6))

    def hidden(*args: Any) -> torch.Tensor:
        if next(calls) == after:
            # As late as can be: all layers have written their keys and values.
            forward(*args)
            raise RuntimeError(text)
        return forward(*args)

    monkeypatch.setattr(backend.family, "hidden", hidden)


@pytest.mark.parametrize("kv", ["strict", "evict"])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_failed_question_leaves_the_context_as_it_was(
    backend: LocalBackend, stream: Stream, monkeypatch: pytest.MonkeyPatch, kv: str, after: int
) -> None:
    conversation = watch(stream, backend, kv=kv)
    stream.observe(conversation, 0, 13)
    request = stream.request(12)
    conversation.ask(request)
    before = content(conversation.ask(request))
    with monkeypatch.context() as patch:
        broken(backend, patch, after, "CUDA error: out of memory")
        with pytest.raises(OutOfMemory, match=r"system\.s2\.window\.max_frames=4"):
            conversation.ask(request)
    assert content(conversation.ask(request)) == before
    conversation.close()


@pytest.mark.parametrize("stride", [1, 3])
def test_frames_whose_prefill_failed_are_read_later(
    backend: LocalBackend, stream: Stream, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    kv = with_cache(backend, prefill_stride=stride)
    whole, hurt = (watch(stream, kv, session=name) for name in ("whole", "hurt"))
    for stop in range(2, COUNT + 1, 2):
        stream.observe(whole, 0, stop)
        with monkeypatch.context() as patch:
            broken(backend, patch, 0, "shapes differ")
            if stop % (2 * stride):
                stream.observe(hurt, 0, stop)
                continue
            with pytest.raises(ModelError, match="reading frames: shapes differ"):
                stream.observe(hurt, 0, stop)
        stream.observe(hurt, 0, stop)
    for conversation in (whole, hurt):
        stream.observe(conversation, 0, COUNT)
    expected, got = (conversation.ask(stream.request(COUNT - 1)) for conversation in (whole, hurt))
    assert got.text == expected.text
    assert got.token_logprobs == pytest.approx(expected.token_logprobs, abs=2e-5)
    assert hurt._prefill.context.patches == whole._prefill.context.patches
    for conversation in (whole, hurt):
        conversation.close()


@pytest.mark.parametrize("after", [1, 2])
def test_a_group_whose_reading_failed_in_its_middle_is_read_on(
    backend: LocalBackend, stream: Stream, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """An anchored window that is full reads a group patch by patch; what was read is not read again."""
    kv = with_cache(backend, prefill_stride=3, position="anchor")
    whole, hurt = (watch(stream, kv, session=name) for name in ("whole", "hurt"))
    for conversation in (whole, hurt):
        stream.observe(conversation, 0, 22)
    with monkeypatch.context() as patch:
        broken(backend, patch, after, "shapes differ")
        with pytest.raises(ModelError, match="shapes differ"):
            stream.observe(hurt, 0, COUNT)
    for conversation in (whole, hurt):
        stream.observe(conversation, 0, COUNT)
    expected, got = (content(each.ask(stream.request(COUNT - 1))) for each in (whole, hurt))
    assert got == expected
    assert hurt._prefill.context.patches == whole._prefill.context.patches
    for conversation in (whole, hurt):
        conversation.close()


@pytest.mark.parametrize("position", ["original", "anchor"])
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("failing", [0, 1])
def test_an_eviction_without_memory_is_made_up_for(
    backend: LocalBackend,
    stream: Stream,
    monkeypatch: pytest.MonkeyPatch,
    position: str,
    asked: bool,
    failing: int,
) -> None:
    """Keys have no memory to move or to be turned through, when frames come or when a question does."""
    copy, calls = torch.Tensor.index_copy_, iter(range(10**6))

    def index_copy(*given: Any) -> torch.Tensor:
        if next(calls) == failing:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return copy(*given)

    if position == "original" and failing:
        pytest.skip("a single copy moves the keys, and nothing is turned")
    kv = with_cache(backend, position=position)
    whole, hurt = (watch(stream, kv, session=name) for name in ("whole", "hurt"))
    for conversation in (whole, hurt):
        stream.observe(conversation, 0, 18)
    stop = 19 if asked else 20
    if asked:
        stream.observe(hurt, 0, stop)
    request = stream.request(stop - 1)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "index_copy_", index_copy)
        with pytest.raises(OutOfMemory):
            _ = hurt.ask(request) if asked else stream.observe(hurt, 0, stop)
    for shown in (stop, 21, COUNT):
        replies = []
        for conversation in (whole, hurt):
            stream.observe(conversation, 0, shown)
            replies.append(content(conversation.ask(stream.request(shown - 1))))
        assert replies[1] == replies[0]
    for conversation in (whole, hurt):
        conversation.close()


def test_a_question_about_the_past_is_refused(backend: LocalBackend, stream: Stream) -> None:
    """Frames that are in the context already cannot be unseen."""
    for stride in (1, 9):
        conversation = watch(stream, with_cache(backend, prefill_stride=stride))
        stream.observe(conversation, 0, 10)
        with pytest.raises(CausalityError, match="came after frame 9"):
            conversation.ask(stream.request(5))
        conversation.close()


def test_a_system_message_needs_a_context_of_its_own(backend: LocalBackend, stream: Stream) -> None:
    told = (Message("system", "You are a pirate."),)
    conversation = watch(stream, backend)
    stream.observe(conversation, 0, 4)
    with pytest.raises(ModelError, match=r"window\.kv=strict"):
        conversation.ask(stream.request(3, history=told))
    conversation.close()
    strict = watch(stream, backend, kv="strict")
    stream.observe(strict, 0, 4)
    plain, pirate = strict.ask(stream.request(3)), strict.ask(stream.request(3, history=told))
    assert plain.token_logprobs != pirate.token_logprobs
    assert content(strict.ask(stream.request(3)))["text"] == plain.text
    strict.close()


# -- budgets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"sinks": 2, "prefill_stride": 3}])
def test_an_arena_that_is_too_small_names_what_would_fit(
    backend: LocalBackend, stream: Stream, more: dict[str, int]
) -> None:
    small = with_cache(backend, arena_bytes=1 << 20, **more)
    with pytest.raises(ModelError, match="arena_bytes is 1048576") as error:
        watch(stream, small, 2000)
    text = str(error.value)
    frames = int(re.search(r"window\.max_frames=(\d+)", text)[1])
    tokens = int(re.search(r"context_tokens=(\d+)", text)[1])
    watch(stream, small, frames).close()
    with pytest.raises(ModelError, match="arena_bytes"):
        watch(stream, small, frames + 8)
    clipped = with_cache(backend, arena_bytes=1 << 20, context_tokens=tokens, **more)
    watch(stream, clipped, 2000).close()


def test_a_budget_names_only_what_helps(backend: LocalBackend, stream: Stream) -> None:
    with pytest.raises(ModelError, match=r"window\.max_frames=") as error:
        watch(stream, with_cache(backend, arena_bytes=1 << 20), 2000, kv="strict")
    assert "context_tokens" not in str(error.value)
    with pytest.raises(ModelError, match="not even one temporal patch fits"):
        watch(stream, with_cache(backend, arena_bytes=1000), 8)


def test_the_context_is_clipped_to_its_tokens(backend: LocalBackend, stream: Stream) -> None:
    tokens = backend.family.grid(SIZE).tokens
    conversation = watch(stream, with_cache(backend, context_tokens=3 * tokens + 1), 64)
    for shown in (4, 12, 13, COUNT):
        stream.observe(conversation, 0, shown)
        usage = conversation.ask(stream.request(shown - 1)).usage
        assert usage.visual_tokens == min(3, (shown + 1) // 2) * tokens
    conversation.close()
    with pytest.raises(ModelError, match="holds no temporal patch"):
        watch(stream, with_cache(backend, context_tokens=tokens, sinks=1), 64)


def test_a_device_without_memory_is_noticed_before_the_stream(
    backend: LocalBackend, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_prefill, "free_bytes", lambda device: 2_000_000)
    with pytest.raises(OutOfMemory, match="2000000 bytes left") as error:
        watch(stream, backend, 2000)
    frames = int(re.search(r"window\.max_frames=(\d+)", str(error.value))[1])
    watch(stream, backend, frames).close()


def test_a_view_without_a_context_to_look_into_is_refused(
    backend: LocalBackend, stream: Stream
) -> None:
    s1 = watch(stream, backend, 4, "view", system="s1")
    with pytest.raises(ModelError, match=r"system\.s1\.window\.kv=view .* there is none"):
        stream.observe(s1, 0, 2)
    s2 = watch(stream, backend, 2)
    with pytest.raises(ModelError, match="more than the other system's 2"):
        stream.observe(s1, 0, 2)
    for conversation in (s1, s2):
        conversation.close()


def test_policies_that_keep_old_frames_need_a_window_without_a_span(
    backend: LocalBackend, stream: Stream
) -> None:
    spec = WindowSpec(max_frames=8, span_ns=10**9)
    with pytest.raises(ModelError, match=r"window\.span_s is set"):
        with_cache(backend, eviction="random").open(
            StreamSpec("session", "s2", stream.size, FPS, spec)
        )


def test_keys_that_cannot_be_turned_are_left_alone(
    backend: LocalBackend, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotary = backend.family.model.model.language_model.rotary_emb
    monkeypatch.setattr(rotary, "rope_type", "dynamic")
    monkeypatch.setattr(context, "_FAR", 3)
    with pytest.raises(ModelError, match="position=anchor"):
        watch(stream, with_cache(backend, position="anchor"))
    conversation = watch(stream, backend, 4)
    stream.observe(conversation, 0, COUNT)
    assert conversation._prefill.context._anchor is None
    conversation.close()


# -- live streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kv", ["strict", "evict"])
def test_after_a_hole_the_context_begins_anew(
    backend: LocalBackend, stream: Stream, kv: str
) -> None:
    """Like that of a conversation which began behind the hole."""
    replies = []
    for name, parts in (("hole", [(0, 5), (9, 14), (14, 19)]), ("late", [(9, 19)])):
        spec = StreamSpec(name, "s2", stream.size, FPS, WindowSpec(max_frames=64), kv, holes=True)
        conversation = backend.open(spec)
        for start, stop in parts:
            stream.observe(conversation, start, stop)
        replies.append(conversation.ask(stream.request(18)))
        conversation.close()
    hole, late = replies
    assert hole.frames == late.frames == (10, 18)
    assert hole.text == late.text
    assert hole.token_logprobs == pytest.approx(late.token_logprobs, abs=2e-5)
