"""Questions to a local model leave no trace, however they are packed, and stop where they are told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from dsb._core import WindowSpec
from dsb.errors import ModelError
from dsb.models.backend import Conversation, Generation, Message, Reply
from dsb.models.local.backend import LocalBackend
from local_streams import Stream, content, load, random_frames, write_video
from random_checkpoints import write_checkpoint

SIZE = (112, 56)
COUNT = 24
LETTERS = ("A", "B", "C", "D")
HISTORY = (Message("user", "Is it red?"), Message("assistant", "yes"))


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), request.param)


@pytest.fixture(scope="module")
def embed(folder: Path) -> LocalBackend:
    return load(folder)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(COUNT, SIZE))
    opened = Stream.open(path, SIZE, COUNT)
    yield opened
    opened.source.close()


def test_a_question_leaves_no_trace(embed: LocalBackend, stream: Stream) -> None:
    a, b = stream.request(9, "Is it red?", ("yes", "no")), stream.request(9)
    conversation = stream.watcher(embed, 10)
    alone = content(conversation.ask(b))
    conversation.ask(a)
    assert content(conversation.ask(b)) == alone
    conversation.close()


def test_a_window_with_a_rate_of_its_own_sees_a_slower_stream(
    embed: LocalBackend, stream: Stream, tmp_path: Path
) -> None:
    """At 7.5 s, one frame per second of a stream at 2 fps is every second frame, the newest
    included; the slow system costs no decode of its own.
    """
    every_second = random_frames(COUNT, SIZE)[1:16:2]
    slow = Stream.open(write_video(tmp_path / "slow.mkv", every_second), SIZE, len(every_second))
    spec = dataclasses.replace(slow.spec("s2", WindowSpec(max_frames=4), "slow"), fps=Fraction(1))
    expected = embed.open(spec)
    slow.observe(expected, 0, 8)
    sampled = embed.open(stream.spec("s2", WindowSpec(max_frames=4, rate=(1, 1)), "sampled"))
    stream.observe(sampled, 0, 16)

    def answer(conversation: Conversation, of: Stream, frame: int) -> dict[str, object]:
        reply = content(conversation.ask(of.request(frame, "Is it red?", ("yes", "no"))))
        return {key: reply[key] for key in ("text", "candidate_logprobs", "usage")}

    assert answer(sampled, stream, 15) == answer(expected, slow, 7)
    expected.close()
    sampled.close()
    slow.source.close()


def test_packed_questions_are_answered_as_if_asked_alone(
    embed: LocalBackend, stream: Stream
) -> None:
    conversation = stream.watcher(embed, 11, 8)
    requests = [
        stream.request(10, "Is it red?", ("yes", "no")),
        stream.request(10, "Where is it now?"),
        stream.request(10, "What is it?", ("red star", "blue ring", "no")),
        stream.request(10, "How many?", history=HISTORY, generation=Generation(max_new_tokens=6)),
        stream.request(10, "How many?", history=(Message("system", "Be brief."),)),
    ]
    together = conversation.ask_many(requests)
    for request, packed in zip(requests, together, strict=True):
        alone = conversation.ask(request)
        assert packed.text == alone.text
        assert packed.input_hash == alone.input_hash
        for ours, theirs in (
            (packed.candidate_logprobs, alone.candidate_logprobs),
            (packed.token_logprobs, alone.token_logprobs),
        ):
            assert ours == (theirs if theirs is None else pytest.approx(theirs, abs=1e-5))
    conversation.close()


def test_questions_of_two_times_are_not_packed(embed: LocalBackend, stream: Stream) -> None:
    conversation = stream.watcher(embed, 11)
    with pytest.raises(ModelError, match="one stream time"):
        conversation.ask_many([stream.request(10), stream.request(9)])
    conversation.close()


def test_generation_stops_where_it_is_told(embed: LocalBackend, stream: Stream) -> None:
    conversation = stream.watcher(embed, 10)

    def answer(most: int, *stop: str) -> Reply:
        generation = Generation(max_new_tokens=most, stop=stop)
        return conversation.ask(stream.request(9, "Where is it?", generation=generation))

    free, short = answer(12), answer(3)
    assert short.finish == "length"
    assert short.usage.output_tokens == len(short.token_logprobs or ()) == 3
    assert (free.token_logprobs or ())[:3] == short.token_logprobs
    mark = free.text[1]
    cut = answer(12, mark)
    assert cut.text == free.text[: free.text.index(mark)].strip()
    assert cut.finish == "stop"
    conversation.close()


def test_a_line_break_ends_an_answer_at_once(embed: LocalBackend, stream: Stream) -> None:
    """White space at the end of a text is a stop string like any other."""
    conversation = stream.watcher(embed, 10)

    def answer(seed: int, *stop: str) -> Reply:
        generation = Generation(12, temperature=2.0, seed=seed, stop=stop)
        return conversation.ask(stream.request(9, "Where is it?", generation=generation))

    seed = next(seed for seed in range(500) if "\n" in answer(seed).text)
    free, cut = answer(seed), answer(seed, "\n")
    assert cut.text == free.text[: free.text.index("\n")].strip()
    # So many tokens end in the line break, which a whole answer does not show.
    same = Generation(cut.usage.output_tokens, temperature=2.0, seed=seed)
    assert conversation.ask(stream.request(9, "Where is it?", generation=same)).text == cut.text
    conversation.close()


def test_sampling_depends_on_the_seed_alone(embed: LocalBackend, stream: Stream) -> None:
    conversation = stream.watcher(embed, 10)
    texts = {
        seed: [
            conversation.ask(
                stream.request(9, generation=Generation(6, temperature=2.0, seed=seed))
            ).text
            for _ in range(2)
        ]
        for seed in range(4)
    }
    assert all(first == second for first, second in texts.values())
    assert len({first for first, _ in texts.values()}) > 1
    conversation.close()


def test_the_hash_of_a_request_is_the_same_in_every_process(
    embed: LocalBackend, stream: Stream
) -> None:
    conversation = stream.watcher(embed, 10)
    reply = conversation.ask(stream.request(9, candidates=LETTERS))
    assert reply.input_hash == "4d39e76d53275763eab4329afe1fa5a1"
    assert (
        conversation.ask(stream.request(9, candidates=LETTERS[:3])).input_hash != reply.input_hash
    )
    conversation.close()
