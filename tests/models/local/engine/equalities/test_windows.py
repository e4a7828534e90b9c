"""Windows that slide answer like one forward under the mask that says who saw whom.

Tests marked `equality` are the rows of the table in docs/families.md. A family skips, with the reason, what its
architecture does not allow.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb._core import WindowSpec
from dsb.models.backend import StreamSpec
from dsb.models.local.backend import LocalBackend
from dsb.models.local.engine.eviction import Residency
from dsb.stream.view import StreamView
from engine_answers import (
    COUNT,
    FEW,
    ORIGINAL,
    QUESTIONS,
    ask,
    assert_equal,
    assert_written,
    steps,
    watch,
)
from engine_reference import Reference, staircase, with_cache
from local_streams import FPS, Stream, random_frames


@pytest.mark.equality("eviction = full recompute under the same mask")
@pytest.mark.parametrize("most", [1, 4, 7])
@pytest.mark.usefixtures("evicting")
def test_eviction_equals_a_full_forward_under_the_staircase_mask(
    family: str, backend: LocalBackend, stream: Stream, reference: Reference, most: int
) -> None:
    span = backend.family.span
    conversation = watch(stream, with_cache(backend, **ORIGINAL), most)
    for shown in range(1, COUNT + 1):
        stream.observe(conversation, 0, shown)
        if shown in (2, 7, 12, COUNT):
            sees, visible = staircase(shown, span, most)
            if most == 1 and span > 1 and shown % span == 0:
                continue  # The newest frame alone is shown as a patch of its own.
            written = reference.answer(QUESTIONS[0], shown, sees=sees, visible=visible)
            assert_written(ask(conversation, stream, shown), reference, written)
    conversation.close()


@pytest.mark.equality("eviction at random and by thinning = full recompute")
@pytest.mark.parametrize("policy", ["random", "stride-thinned"])
@pytest.mark.usefixtures("evicting")
def test_any_policy_equals_a_full_forward_under_its_mask(
    family: str, backend: LocalBackend, stream: Stream, reference: Reference, policy: str
) -> None:
    span, most, sinks = backend.family.span, 6, 1
    kv = with_cache(
        backend, eviction=policy, eviction_seed=5, sinks=sinks, prefill_stride=3, **ORIGINAL
    )
    conversation = watch(stream, kv, most)
    residency = Residency(-(-most // span), policy, seed=5, sinks=sinks)
    sees, here = {}, set()
    for shown in range(1, COUNT + 1):
        stream.observe(conversation, 0, shown)
        number = (shown - 1) // span
        here -= set(residency.admit(number, 0))
        if shown % span == 0:
            sees[number] = frozenset(here)
            here.add(number)
        if shown in (5, 10, COUNT):
            written = reference.answer(QUESTIONS[1], shown, sees=sees, visible=sorted(here))
            assert_written(ask(conversation, stream, shown, QUESTIONS[1]), reference, written)
    assert 0 in here
    conversation.close()


@pytest.mark.equality("`prefill_stride` changes nothing")
@given(data=st.data())
@FEW
def test_the_prefill_stride_changes_nothing(
    family: str, backend: LocalBackend, stream: Stream, data: st.DataObject
) -> None:
    most = data.draw(st.integers(1, 12), label="window")
    policy = data.draw(st.sampled_from(["oldest", "random", "stride-thinned"]), label="policy")
    sinks = data.draw(st.integers(0, 2), label="sinks")
    position = data.draw(st.sampled_from(["original", "anchor"]), label="position")
    sides = [
        watch(
            stream,
            with_cache(
                backend, prefill_stride=stride, eviction=policy, sinks=sinks, position=position
            ),
            most if backend.family.evicts else 64,
        )
        for stride in (1, 2, 3, 5, 13)
    ]
    for shown in steps(data):
        replies = []
        for conversation in sides:
            stream.observe(conversation, 0, shown)
        if data.draw(st.booleans(), label="ask") or shown == COUNT:
            replies = [ask(conversation, stream, shown) for conversation in sides]
        for reply in replies[1:]:
            assert_equal(reply, replies[0], backend)
            assert reply.frames == replies[0].frames
    for conversation in sides:
        conversation.close()


@pytest.mark.equality("a view of S2's context = the other patches masked")
@pytest.mark.usefixtures("evicting")
def test_a_view_equals_a_full_forward_that_hides_the_rest(
    family: str, backend: LocalBackend, stream: Stream, reference: Reference
) -> None:
    span = backend.family.span
    shared = with_cache(backend, **ORIGINAL)
    s1 = watch(stream, shared, 3, "view", "s1")
    s2 = watch(stream, shared, 10)
    for shown in (2, 3, 8, 13):
        for conversation in (s1, s2):
            stream.observe(conversation, 0, shown)
        sees, _ = staircase(shown, span, 10)
        _, visible = staircase(shown, span, 3)
        written = reference.answer(QUESTIONS[0], shown, sees=sees, visible=visible)
        reply = ask(s1, stream, shown)
        assert_written(reply, reference, written)
        assert reply.usage.visual_tokens == (len(visible) + (shown % span > 0)) * (
            backend.family.grid(stream.size).tokens
        )
    for conversation in (s1, s2):
        conversation.close()


@pytest.mark.usefixtures("evicting")
def test_a_view_of_one_frame_sees_the_newest_one(
    family: str, backend: LocalBackend, stream: Stream, size: tuple[int, int]
) -> None:
    """Also when it is the second of a pair: then like a frame that has no partner yet."""
    span, shown = backend.family.span, 10
    if span == 1 or backend.family.before(0, 0.5) != backend.family.before(0, 9.5):
        pytest.skip("a frame has no partner, or the text around it tells its time")
    shared = with_cache(backend, **ORIGINAL)
    s1, s2 = watch(stream, shared, 1, "view", "s1"), watch(stream, shared, 64)
    for conversation in (s1, s2):
        stream.observe(conversation, 0, shown)
    frames = random_frames(COUNT, size)
    frames[shown] = frames[shown - 1]
    sees, _ = staircase(shown, span, 64)
    alone = Reference(backend, frames, FPS)
    written = alone.answer(QUESTIONS[0], shown + 1, sees=sees, visible=[])
    reply = ask(s1, stream, shown)
    assert_written(reply, alone, written)
    assert reply.frames == (shown - 1, shown - 1)
    for conversation in (s1, s2):
        conversation.close()


@pytest.mark.usefixtures("evicting")
def test_a_view_through_an_empty_window_is_dark(
    family: str, backend: LocalBackend, stream: Stream
) -> None:
    """Between two frames a short span holds none; what the other system sees is not shown instead."""
    shown = 9
    s2 = watch(stream, backend, 64)
    dark = []
    for start in (0, 4):
        spec = WindowSpec(max_frames=4, span_ns=10**8)
        s1 = backend.open(StreamSpec("session", "s1", stream.size, FPS, spec, "view"))
        stream.observe(s2, 0, shown + start)
        request = stream.request(shown + start - 1)
        view = StreamView(stream.source.frames, request.t_ns + 2 * 10**8, timeout_s=60)
        dark.append(s1.ask(replace(request, t_ns=view.t_ns, view=view)))
        s1.close()
    s2.close()
    for reply in dark:
        assert reply.frames is None
        assert reply.visible_until_ns is None
        assert reply.usage.visual_tokens == backend.family.grid(stream.size).tokens
