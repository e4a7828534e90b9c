"""Memory: causal by construction, exact, and equal to a slow reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsb.config.schema import MemoryConfig
from dsb.errors import CausalityError, RegistryError
from dsb.memory.build import build_memory
from dsb.memory.dialogue import last_exchanges, record_of_exchange, record_of_observation
from dsb.memory.encoder import HashEncoder
from dsb.memory.record import MemoryRecord
from dsb.memory.store import LongTermMemory
from dsb.models.backend import Message

WORDS = ["red", "star", "blue", "ring", "left", "the", "was", "cross"]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)


def record(number: int, text: str, end_ns: int, lag_ns: int = 0, stream: str = "a") -> MemoryRecord:
    return MemoryRecord(str(number), stream, "observation", text, end_ns, end_ns, end_ns + lag_ns)


@given(
    st.lists(st.tuples(texts, st.integers(0, 50)), max_size=20),
    texts,
    st.integers(0, 60),
    st.integers(1, 5),
)
def test_a_query_returns_the_best_records_visible_at_its_time(
    written: list[tuple[str, int]], text: str, now_ns: int, k: int
) -> None:
    encoder = HashEncoder(64)
    memory = LongTermMemory("a", encoder)
    records = [record(i, t, ns) for i, (t, ns) in enumerate(sorted(written, key=lambda x: x[1]))]
    for each in records:
        memory.write(each)
    found = memory.query(text, now_ns, k)

    visible = [each for each in records if each.t_visible_ns <= now_ns]
    probe = encoder.encode([text])[0]
    scores = {each.id: float(encoder.encode([each.text])[0] @ probe) for each in visible}
    assert found.visible == len(visible)
    assert len(found.hits) == min(k, len(visible))
    expected = sorted(scores.values(), reverse=True)[:k]
    assert [hit.score for hit in found.hits] == pytest.approx(expected, abs=1e-6)
    assert all(hit.record.t_visible_ns <= now_ns for hit in found.hits)
    assert len({hit.record.id for hit in found.hits}) == len(found.hits)


def test_of_equally_similar_records_the_newer_comes_first() -> None:
    memory = LongTermMemory("a", HashEncoder())
    for number in range(3):
        memory.write(record(number, "a red star", number))
    assert [hit.record.id for hit in memory.query("red star", 9, 2).hits] == ["2", "1"]


def test_a_record_is_invisible_until_its_writer_has_finished() -> None:
    memory = LongTermMemory("a", HashEncoder())
    memory.write(record_of_observation("a", "a red star", 10, service_ns=5))
    assert memory.query("red star", 14, 1).hits == ()
    assert len(memory.query("red star", 15, 1).hits) == 1


@pytest.mark.parametrize(
    "bad",
    [
        record(1, "x", 20, stream="b"),
        record(1, "x", 20, lag_ns=-1),
        record(1, "x", 9),
    ],
    ids=["another stream", "visible before its end", "visible before its predecessor"],
)
def test_a_record_that_would_break_causality_is_refused(bad: MemoryRecord) -> None:
    memory = LongTermMemory("a", HashEncoder())
    memory.write(record(0, "x", 10))
    with pytest.raises(CausalityError):
        memory.write(bad)
    assert len(memory) == 1


def test_the_store_grows_without_losing_a_record() -> None:
    memory = LongTermMemory("a", HashEncoder(32))
    for number in range(100):
        memory.write(record(number, f"digit {number}", number))
    hits = memory.query("digit 7", 1000, 100).hits
    assert sorted(int(hit.record.id) for hit in hits) == list(range(100))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_hash_vectors_have_norm_one_or_zero_and_do_not_depend_on_their_batch(
    batch: list[str],
) -> None:
    encoder = HashEncoder(128)
    together = encoder.encode(batch)
    alone = np.concatenate([encoder.encode([text]) for text in batch])
    assert np.array_equal(together, alone)
    for row in together:
        assert math.isclose(float(np.linalg.norm(row)), 1.0, abs_tol=1e-5) or not row.any()


def test_similar_sentences_are_nearer_than_unrelated_ones() -> None:
    a, b, c = HashEncoder().encode(
        ["a red star appeared top-left", "where was the red star", "how loud is the engine"]
    )
    assert a @ b > a @ c


@pytest.mark.parametrize(("turns", "kept"), [(0, 0), (1, 2), (2, 4), (9, 6)])
def test_short_term_memory_keeps_the_newest_whole_turns(turns: int, kept: int) -> None:
    history = [
        Message(role, f"{role} {number}")  # type: ignore[arg-type]
        for number in range(3)
        for role in ("user", "assistant")
    ]
    assert last_exchanges(history, turns) == tuple(history[len(history) - kept :])


def test_a_finished_turn_becomes_a_dialogue_record() -> None:
    made = record_of_exchange("a", "q1", "Where is it?", "top-left", 100, 7)
    assert (made.kind, made.text, made.t_end_ns, made.t_visible_ns) == (
        "dialogue",
        "Where is it? top-left",
        100,
        107,
    )


def test_memory_is_built_as_configured() -> None:
    assert build_memory(MemoryConfig(), "a") is None
    assert isinstance(build_memory(MemoryConfig(long_term=True), "a"), LongTermMemory)
    with pytest.raises(RegistryError, match="hash"):
        build_memory(MemoryConfig(long_term=True, encoder="hsah"), "a")
