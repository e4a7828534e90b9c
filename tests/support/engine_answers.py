"""Conversations of the engine whose answers are compared: with each other, or with a full recomputation."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dsb._core import WindowSpec
from dsb.models.backend import Conversation, Reply, StreamSpec
from dsb.models.local.backend import LocalBackend
from engine_reference import Reference, Written
from local_streams import FPS, Stream

#: Frames of the stream.
COUNT = 17
LETTERS = ("A", "B", "C", "D")
QUESTIONS = (
    "What color is the star now?",
    "Where is it?",
    "How many times did the background change?",
)
#: Positions as in one forward over everything.
ORIGINAL = {"position": "original"}
FEW = settings(
    max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


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
