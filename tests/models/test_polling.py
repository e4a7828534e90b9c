"""Standing instructions by polling: yes or no by likelihood, several of them in one forward."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from dsb.config.schema import CacheConfig, ModelConfig
from dsb.errors import ModelError
from dsb.models.backend import Backend, Conversation, Reply, Request, Timing, Usage
from dsb.models.build import open_backend
from dsb.models.polling import Polling
from local_streams import Stream, random_frames, write_video
from random_checkpoints import write_checkpoint

SIZE = (56, 56)
COUNT = 12
TEXTS = {"red": "Is it red?", "star": "Is it the star? yes or no.", "ring": "How many times?"}


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    folder = write_checkpoint(tmp_path_factory.mktemp("checkpoint"), "qwen2_5_vl")
    return open_backend(ModelConfig(path=str(folder), device="cpu", threads=1), CacheConfig())


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(COUNT, SIZE))
    opened = Stream.open(path, SIZE, COUNT)
    yield opened
    opened.source.close()


@pytest.fixture
def watcher(backend: Backend, stream: Stream) -> Iterator[Conversation]:
    """Watches `TEXTS` from frame 3 on."""
    conversation = stream.watcher(backend, 4)
    for key, text in TEXTS.items():
        conversation.watch(stream.request(3, text, ("yes", "no"), query=key))
    yield conversation
    conversation.close()


def test_the_score_is_the_probability_of_yes(watcher: Conversation, stream: Stream) -> None:
    for frame in range(4, COUNT):
        stream.observe(watcher, frame, frame + 1)
        view = stream.view(frame)
        turns = watcher.turn(view.t_ns, view, list(TEXTS))
        for turn, (key, text) in zip(turns, TEXTS.items(), strict=True):
            alone = watcher.ask(stream.request(frame, text, ("yes", "no")))
            assert alone.candidate_logprobs is not None
            assert (turn.query, turn.tick_ns, turn.processed_through) == (key, view.t_ns, frame)
            assert turn.score == pytest.approx(math.exp(alone.candidate_logprobs[0]), abs=1e-5)
            assert turn.action == ("speak" if turn.text == "yes" else "silent")
            assert turn.reply is not None
            assert turn.reply.visible_until_ns == view.t_ns
            assert turn.reply.input_hash == alone.input_hash


def test_all_instructions_of_a_tick_are_one_call_of_the_model(
    backend: Backend, watcher: Conversation, stream: Stream
) -> None:
    view = stream.view(3)
    before = backend.counters("session").model_calls
    turns = watcher.turn(view.t_ns, view, ["star", "red", "ring"])
    assert [turn.query for turn in turns] == ["star", "red", "ring"]
    assert backend.counters("session").model_calls == before + 1
    shared = [turn.reply.usage.cached_tokens > 0 for turn in turns if turn.reply]
    assert shared == [False, True, True]


def test_a_tick_without_instructions_asks_nothing(
    backend: Backend, watcher: Conversation, stream: Stream
) -> None:
    view = stream.view(3)
    before = backend.counters("session").model_calls
    assert watcher.turn(view.t_ns, view, []) == []
    assert backend.counters("session").model_calls == before


def test_polling_leaves_no_trace(watcher: Conversation, stream: Stream) -> None:
    view = stream.view(3)
    first = watcher.turn(view.t_ns, view, ["red"])[0]
    watcher.turn(view.t_ns, view, ["star", "ring"])
    again = watcher.turn(view.t_ns, view, ["red"])[0]
    # The first of them read the window in its own forward, so only rounding may differ.
    assert again.score == pytest.approx(first.score, abs=1e-6)
    assert watcher.turn(view.t_ns, view, ["red"])[0].score == again.score


def test_an_instruction_must_be_known_and_only_once(watcher: Conversation, stream: Stream) -> None:
    view = stream.view(3)
    with pytest.raises(ModelError, match="'blue' is watched; call watch first"):
        watcher.turn(view.t_ns, view, ["red", "blue"])
    with pytest.raises(ModelError, match="'red' is watched already"):
        watcher.watch(stream.request(3, query="red"))
    with pytest.raises(ModelError, match="two candidates"):
        watcher.watch(stream.request(3, candidates=("A", "B", "C"), query="letters"))


def test_instructions_without_candidates_are_answered_with_yes_or_no(
    backend: Backend, stream: Stream
) -> None:
    conversation = stream.watcher(backend, 4)
    conversation.watch(stream.request(3, "Is it red?", query="red"))
    view = stream.view(3)
    turn = conversation.turn(view.t_ns, view, ["red"])[0]
    assert turn.text in ("yes", "no")
    conversation.close()


@pytest.mark.parametrize(("text", "score"), [("Yes", 1.0), ("no", 0.0), ("perhaps", 0.0)])
def test_a_backend_without_probabilities_gives_a_yes_or_a_no(
    stream: Stream, text: str, score: float
) -> None:
    def say(requests: Sequence[Request]) -> list[Reply]:
        return [
            Reply(text, None, None, Usage(), Timing(), "stop", (0, 3), request.t_ns, "0")
            for request in requests
        ]

    polling = Polling(say)
    polling.watch(replace(stream.request(3), query="red"))
    view = stream.view(3)
    turn = polling.turn(view.t_ns, view, ["red"])[0]
    assert turn.score == score
    assert turn.action == ("speak" if score else "silent")
