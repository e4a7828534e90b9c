"""What is read once, as it comes, answers like a full recomputation, whoever else asks.

Tests marked `equality` are the rows of the table in docs/families.md. A family skips, with the reason, what its
architecture does not allow.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb._core import WindowSpec
from dsb.models.backend import Generation, Message, Reply, StreamSpec
from dsb.models.local.backend import LocalBackend
from engine_answers import (
    COUNT,
    FEW,
    LETTERS,
    QUESTIONS,
    ask,
    assert_equal,
    assert_written,
    steps,
    watch,
)
from engine_reference import Reference, with_cache
from local_streams import FPS, Stream, content


@pytest.mark.equality("incremental prefill = one forward (odd and even frame counts)")
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_what_is_read_as_it_comes_equals_one_forward(
    family: str, backend: LocalBackend, stream: Stream, reference: Reference, stride: int
) -> None:
    kv = with_cache(backend, prefill_stride=stride)
    conversation = watch(stream, kv, 64)
    for shown in (1, 2, 5, 8, 9):
        stream.observe(conversation, 0, shown)
        for text in QUESTIONS[:2]:
            reply = ask(conversation, stream, shown, text)
            assert_written(reply, reference, reference.answer(text, shown))
    conversation.close()


@pytest.mark.equality("`none` = `embed` = `kv`")
@given(data=st.data())
@FEW
def test_reuse_changes_nothing(
    family: str, backend: LocalBackend, stream: Stream, data: st.DataObject
) -> None:
    most = data.draw(st.integers(1, 20), label="window")
    sides = [
        watch(stream, with_cache(backend, reuse=reuse), most, "strict")
        for reuse in ("none", "embed", "kv")
    ]
    sides.append(watch(stream, with_cache(backend, prefill_stride=2), 64))
    for shown in steps(data):
        for conversation in sides:
            stream.observe(conversation, 0, shown)
        candidates = data.draw(st.sampled_from([(), LETTERS]), label="candidates")
        question = stream.request(shown - 1, candidates=candidates)
        none, embed, kv, once = (conversation.ask(question) for conversation in sides)
        assert none == replace_usage(embed, none)
        assert_equal(kv, embed, backend)
        if shown <= most:
            assert_equal(once, embed, backend)
    for conversation in sides:
        conversation.close()


def replace_usage(reply: Reply, other: Reply) -> Reply:
    """`reply` with the wall times and the cached tokens of `other`."""
    return replace(reply, timing=other.timing, usage=other.usage)


@pytest.mark.equality("a question leaves no trace")
@given(data=st.data())
@FEW
def test_a_question_leaves_no_trace(
    family: str, backend: LocalBackend, stream: Stream, data: st.DataObject
) -> None:
    """One conversation is asked all the time, the other once in the end."""
    most = data.draw(st.integers(1, 20), label="window")
    kv = with_cache(backend, prefill_stride=data.draw(st.integers(1, 3), label="stride"))
    busy, quiet = (watch(stream, kv, most, system=name) for name in ("s2", "s3"))
    for shown in steps(data):
        stream.observe(busy, 0, shown)
        stream.observe(quiet, 0, shown)
        for text in data.draw(st.lists(st.sampled_from(QUESTIONS), max_size=3), label="asked"):
            busy.ask(stream.request(shown - 1, text, candidates=LETTERS))
            busy.ask(stream.request(shown - 1, text, generation=Generation(5, 1.0, seed=shown)))
    before, after = ask(quiet, stream, COUNT), ask(busy, stream, COUNT)
    # Chunks of the prefill depend on when somebody asked, so only rounding may differ.
    assert_equal(after, before, backend)
    assert content(ask(busy, stream, COUNT)) == content(ask(busy, stream, COUNT))
    for conversation in (busy, quiet):
        conversation.close()


@pytest.mark.equality("questions packed = one after the other")
def test_packed_questions_equal_questions_one_after_the_other(
    family: str, backend: LocalBackend, stream: Stream
) -> None:
    conversation = watch(stream, backend, 9)
    for shown in (4, 11):
        stream.observe(conversation, 0, shown)
        history = (Message("user", "Is it red?"), Message("assistant", "yes"))
        requests = [
            stream.request(shown - 1, text, candidates, history=past)
            for text in QUESTIONS
            for candidates in ((), LETTERS, ("red", "red star", "blue"))
            for past in ((), history)
        ]
        for one, packed in zip(
            [conversation.ask(each) for each in requests],
            conversation.ask_many(requests),
            strict=True,
        ):
            assert_equal(packed, one, backend)
            assert packed.input_hash == one.input_hash
    conversation.close()


@pytest.mark.equality("two streams on one model do not meet")
def test_two_streams_interleaved_on_one_model_do_not_influence_each_other(
    family: str, backend: LocalBackend, stream: Stream
) -> None:
    def spec(session: str, most: int) -> StreamSpec:
        return StreamSpec(session, "s2", stream.size, FPS, WindowSpec(max_frames=most))

    alone = []
    for most in (7, 64):
        conversation = backend.open(spec("alone", most))
        replies = []
        for shown in (3, 8, 15):
            stream.observe(conversation, 0, shown)
            replies.append(content(ask(conversation, stream, shown)))
        conversation.close()
        alone.append(replies)
    together: list[list[object]] = [[], []]
    pair = [backend.open(spec(f"together {most}", most)) for most in (7, 64)]
    for shown in (3, 8, 15):
        for place, conversation in enumerate(pair):
            stream.observe(conversation, 0, shown)
            together[place].append(content(ask(conversation, stream, shown)))
    for conversation in pair:
        conversation.close()
    assert together == alone
