"""Where keys stand does not matter but for their distances: anchors, positions counted anew, slots.

Tests marked `equality` are the rows of the table in docs/families.md. A family skips, with the reason, what its
architecture does not allow.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from dsb.models.local.backend import LocalBackend
from dsb.models.local.engine import context
from dsb.models.local.engine.anchor import rotated
from engine_answers import (
    COUNT,
    ORIGINAL,
    QUESTIONS,
    ask,
    assert_equal,
    assert_written,
    watch,
)
from engine_reference import Reference, first_logprobs, staircase, with_cache
from local_streams import FPS, Stream, random_frames


@pytest.mark.equality("`position: anchor` = contiguous positions")
@pytest.mark.parametrize("sinks", [0, 1])
@pytest.mark.usefixtures("evicting")
def test_with_one_layer_an_anchored_context_equals_a_fresh_one_of_what_is_left(
    family: str, backend: LocalBackend, stream: Stream, size: tuple[int, int], sinks: int
) -> None:
    """Keys of a single layer depend on token and place alone, so nothing of what has left is in them."""
    shallow = with_one_layer(backend)
    kv = with_cache(shallow, position="anchor", sinks=sinks)
    reference = Reference(kv, random_frames(COUNT, size), FPS)
    span = backend.family.span
    conversation = watch(stream, kv, 6)
    for shown in (4, 9, 12, COUNT):
        stream.observe(conversation, 0, shown)
        _, visible = staircase(shown, span, 6)
        visible = sorted({*range(min(sinks, shown // span)), *visible})
        ours = first_logprobs(conversation, stream.request(shown - 1))
        theirs = reference.reindexed(QUESTIONS[0], shown, visible)
        torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=0)
    conversation.close()


@pytest.mark.parametrize("policy", ["oldest", "random", "stride-thinned"])
@pytest.mark.parametrize("sinks", [0, 1])
@pytest.mark.usefixtures("evicting")
def test_a_question_stands_right_behind_the_last_patch_whoever_has_left(
    family: str, backend: LocalBackend, stream: Stream, policy: str, sinks: int
) -> None:
    """Policies that keep old patches leave gaps in front of it, and it is not drawn into them."""
    most = 3 * backend.family.span
    kv = with_cache(backend, position="anchor", eviction=policy, sinks=sinks)
    conversation = watch(stream, kv, most)
    distances = []
    for shown in (most + sinks * backend.family.span, 8, 12, 16):
        stream.observe(conversation, 0, shown)
        conversation.ask(stream.request(shown - 1))
        read = conversation._prefill.context
        _, tail = read.ending(None)
        last = read._stands[read.patches[-1]]
        places, _ = backend.family.place(last.cursor, last.index, read._clock)
        distances.append(int(tail.line(backend.family, 0, 1)[0, 0] - places[0, -1]))
    assert distances[0] > 0
    assert set(distances) == {distances[0]}
    conversation.close()


@pytest.mark.equality("positions counted anew far out in a stream = original ones")
@pytest.mark.parametrize("sinks", [0, 1])
@pytest.mark.usefixtures("evicting")
def test_counting_positions_anew_changes_nothing(
    family: str,
    backend: LocalBackend,
    stream: Stream,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
    sinks: int,
) -> None:
    monkeypatch.setattr(context, "_FAR", 3)
    span = backend.family.span
    far = watch(stream, with_cache(backend, sinks=sinks, **ORIGINAL), 4)
    for shown in range(1, COUNT + 1):
        stream.observe(far, 0, shown)
        if shown in (6, 11, COUNT):
            sees, visible = staircase(shown, span, 4)
            first = range(min(sinks, shown // span))
            sees = {
                patch: seen | {each for each in first if each < patch}
                for patch, seen in sees.items()
            }
            written = reference.answer(
                QUESTIONS[0], shown, sees=sees, visible=sorted({*first, *visible})
            )
            assert_written(ask(far, stream, shown), reference, written)
    assert int(far._prefill.context._anchor.gap.max()) < 0
    far.close()
    anchored = [
        watch(stream, with_cache(backend, position="anchor", sinks=sinks), 4) for _ in range(2)
    ]
    for shown in range(1, COUNT + 1):
        stream.observe(anchored[0], 0, shown)
    monkeypatch.undo()
    for shown in range(1, COUNT + 1):
        stream.observe(anchored[1], 0, shown)
    assert_equal(*(ask(each, stream, COUNT) for each in anchored), backend)
    for conversation in anchored:
        conversation.close()


def with_one_layer(backend: LocalBackend) -> LocalBackend:
    shallow = copy.copy(backend)
    shallow.family = copy.copy(backend.family)
    shallow.family.model = copy.deepcopy(backend.family.model)
    text = shallow.family.model.config.get_text_config()
    text.num_hidden_layers = 1
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:1]
    tower = shallow.family.model.model.language_model
    tower.layers = tower.layers[:1]
    tower.config = text
    return shallow


@pytest.mark.equality("turning the sinks = turning everything else back")
@pytest.mark.usefixtures("evicting")
def test_turning_what_stays_forward_equals_turning_the_window_back(
    family: str, backend: LocalBackend, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All layers; the same keys, once as they are and once numbered from the beginning."""
    kv = with_cache(backend, position="anchor", sinks=1)
    conversation = watch(stream, kv, 6)
    shown = 14
    stream.observe(conversation, 0, shown)
    request = stream.request(shown - 1)
    ours = first_logprobs(conversation, request)
    read = conversation._prefill.context
    gap = read._anchor.gap
    assert int(gap.max()) > 0
    everything = list(range(read.arena.used))
    turned = [rotated(backend.family, keys, -gap) for keys in read.arena.keys(everything)]
    read.arena.put_keys(everything, turned)
    tokens, tail = read.ending(None)
    turned_tail = replace(tail, shift=tail.shift - gap)
    monkeypatch.setattr(read, "ending", lambda patch: (tokens, turned_tail))
    torch.testing.assert_close(first_logprobs(conversation, request), ours, atol=5e-5, rtol=0)
    conversation.close()


@pytest.mark.equality("the order of slots means nothing")
def test_the_order_of_slots_means_nothing(
    family: str, backend: LocalBackend, stream: Stream
) -> None:
    conversation = watch(stream, backend, 64)
    stream.observe(conversation, 0, 10)
    before = ask(conversation, stream, 10)
    arena = conversation._prefill.prepare(
        backend.chat.prompt(stream.request(9).messages).head, stream.view(9)
    ).context.arena
    order = torch.randperm(arena.used, generator=torch.Generator().manual_seed(1))
    for block in arena._blocks:
        block[:, :, :, : arena.used] = block[:, :, :, order]
    assert_equal(ask(conversation, stream, 10), before, backend)
    conversation.close()
