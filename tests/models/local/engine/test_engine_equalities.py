"""The engine gives the answers of a full recomputation, for every model family.

Tests marked `equality` are the rows of the table in docs/families.md. A family skips, with the reason, what its
architecture does not allow.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsb._core import WindowSpec
from dsb.models.backend import Conversation, Decoding, Message, Reply, StreamSpec
from dsb.models.local.backend import LocalBackend
from dsb.models.local.checkpoint.load import FAMILIES
from dsb.models.local.engine import context
from dsb.models.local.engine.anchor import rotated
from dsb.models.local.engine.eviction import Residency
from dsb.stream.view import StreamView
from engine_reference import Reference, Written, first_logprobs, staircase, with_cache
from local_streams import FPS, Stream, content, load, random_frames, write_video
from random_checkpoints import write_checkpoint

COUNT = 17
LETTERS = ("A", "B", "C", "D")
QUESTIONS = (
    "What color is the star now?",
    "Where is it?",
    "How many times did the background change?",
)
#: Backend name of each model type.
BACKENDS = {kind: backend for backend, kinds in FAMILIES.items() for kind in kinds}
FEW = settings(
    max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@pytest.fixture(scope="module", params=sorted(BACKENDS))
def family(request: pytest.FixtureRequest) -> str:
    """A model type."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def backend(family: str, tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    return load(write_checkpoint(tmp_path_factory.mktemp(family), family), "kv", BACKENDS[family])


@pytest.fixture(scope="module")
def size(backend: LocalBackend) -> tuple[int, int]:
    return backend.family.frame_size((90, 60))


@pytest.fixture(scope="module")
def stream(size: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(COUNT, size))
    opened = Stream.open(path, size, COUNT)
    yield opened
    opened.source.close()


@pytest.fixture(scope="module")
def reference(backend: LocalBackend, size: tuple[int, int]) -> Reference:
    return Reference(backend, random_frames(COUNT, size), FPS)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def evicting(backend: LocalBackend) -> None:
    if not backend.family.evicts:
        pytest.skip("linear-attention layers fold frames into one state, which none can leave")


#: Positions as in one forward over everything.
ORIGINAL = {"position": "original"}


def watch(
    stream: Stream, backend: LocalBackend, most: int, kv: str = "auto", system: str = "s2"
) -> Conversation:
    spec = StreamSpec("session", system, stream.size, FPS, WindowSpec(max_frames=most), kv)
    return backend.open(spec)


def ask(conversation: Conversation, stream: Stream, shown: int, text: str = QUESTIONS[0]) -> Reply:
    return conversation.ask(stream.request(shown - 1, text))


def rounding(backend: LocalBackend) -> float:
    """How far log-probabilities may lie apart when the same is computed in other portions.

    Linear attention computes a prefix in chunks and single tokens one by one, by two formulas.
    """
    return 2e-5 if backend.family.evicts else 2e-4


def assert_equal(reply: Reply, other: Reply, backend: LocalBackend) -> None:
    """The same words; likelihoods within rounding."""
    assert reply.text == other.text
    for ours, theirs in (
        (reply.token_logprobs, other.token_logprobs),
        (reply.candidate_logprobs, other.candidate_logprobs),
    ):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            assert ours == pytest.approx(theirs, abs=rounding(backend))


def assert_written(reply: Reply, reference: Reference, written: Written) -> None:
    text = reference.backend.chat.text(written.ids)
    assert reply.text == text
    assert reply.token_logprobs == pytest.approx(written.logprobs, abs=rounding(reference.backend))


def steps(data: st.DataObject, count: int = COUNT) -> list[int]:
    """How many frames are on screen after each observation."""
    cuts = data.draw(st.sets(st.integers(1, count), max_size=6), label="cuts")
    return sorted({*cuts, count})


# -- reading a stream as it comes ------------------------------------------------------------------


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
            busy.ask(stream.request(shown - 1, text, decoding=Decoding(5, 1.0, seed=shown)))
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


# -- windows that slide ----------------------------------------------------------------------------


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


# -- positions -------------------------------------------------------------------------------------


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
        read = conversation._reader.context
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
    assert int(far._reader.context._anchor.gap.max()) < 0
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
    read = conversation._reader.context
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
    arena = conversation._reader.read(
        backend.chat.prompt(stream.request(9).messages).head, stream.view(9)
    ).context.arena
    order = torch.randperm(arena.used, generator=torch.Generator().manual_seed(1))
    for block in arena._blocks:
        block[:, :, :, : arena.used] = block[:, :, :, order]
    assert_equal(ask(conversation, stream, 10), before, backend)
    conversation.close()


# -- one model, several users ----------------------------------------------------------------------


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
