"""A local model held to the schema of a structured answer gives one every time, without repair."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import sessions
import videos
from dsb.benchmarks.layout import write_layout
from dsb.config.load import LoadedConfig
from dsb.config.schema import RunConfig, SystemConfig
from dsb.errors import AnswerFormatError
from dsb.evaluation.prepare import prepare
from dsb.evaluation.run import execute
from dsb.models.backend import Conversation, Generation
from dsb.models.local.backend import LocalBackend
from dsb.models.local.families import FAMILIES
from dsb.models.tiny import embedded_path
from dsb.runlog.records import Answered, Call
from dsb.runlog.run import open_run
from dsb.systems.question import Question
from dsb.systems.structured import SCHEMA, StructuredAnswer, parse_structured
from dsb.systems.system import System
from local_streams import Stream, load, random_frames, write_video
from random_checkpoints import write_checkpoint

SIZE = (112, 56)
COUNT = 12
BUDGET = 72
ENFORCED = Generation(BUDGET, schema=SCHEMA)
RED_OR_BLUE = (
    '{"type": "object", "properties": {"color": {"enum": ["red", "blue"]}}, "required": ["color"]}'
)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    return load(write_checkpoint(tmp_path_factory.mktemp("checkpoint"), "qwen2_5_vl"))


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(COUNT, SIZE))
    opened = Stream.open(path, SIZE, COUNT)
    yield opened
    opened.source.close()


@pytest.fixture
def conversation(backend: LocalBackend, stream: Stream) -> Iterator[Conversation]:
    opened = stream.watcher(backend, 10)
    yield opened
    opened.close()


@pytest.mark.parametrize("temperature", [0.0, 0.8, 3.0])
def test_every_answer_is_of_the_schema(
    conversation: Conversation, stream: Stream, temperature: float
) -> None:
    for seed in range(6):
        generation = Generation(BUDGET, temperature, seed, schema=SCHEMA)
        reply = conversation.ask(stream.request(9, f"Question {seed}?", generation=generation))
        assert isinstance(parse_structured(reply.text), StructuredAnswer), reply.text
        assert reply.usage.output_tokens <= BUDGET


@pytest.mark.parametrize(
    ("backend_name", "kind"), [(name, kind) for name, kinds in FAMILIES.items() for kind in kinds]
)
def test_every_family_can_be_held_to_the_schema(
    backend_name: str, kind: str, stream: Stream, tmp_path: Path
) -> None:
    """Byte-level and byte-fallback tokenizers, and models with a recurrent state."""
    backend = load(write_checkpoint(tmp_path, kind), backend_name=backend_name)
    spec = dataclasses.replace(stream.spec("blind", None), size=backend.frame_size(SIZE))
    conversation = backend.open(spec)
    generation = Generation(BUDGET, 0.8, schema=SCHEMA)
    reply = conversation.ask(stream.request(9, generation=generation))
    assert isinstance(parse_structured(reply.text), StructuredAnswer), reply.text
    conversation.close()


def test_questions_with_and_without_a_schema_are_packed_as_if_asked_alone(
    conversation: Conversation, stream: Stream
) -> None:
    requests = [
        stream.request(9, "What is it?", generation=ENFORCED),
        stream.request(9, "Which color?", generation=Generation(BUDGET, schema=RED_OR_BLUE)),
        stream.request(9, "Is it red?", ("yes", "no"), generation=ENFORCED),
        stream.request(9, "Where is it?"),
    ]
    together = conversation.ask_many(requests)
    alone = [conversation.ask(request) for request in requests]
    assert [each.text for each in together] == [each.text for each in alone]
    assert json.loads(together[1].text)["color"] in ("red", "blue")


def test_log_probabilities_are_those_of_the_model_and_not_of_the_schema(
    conversation: Conversation, stream: Stream
) -> None:
    enforced = conversation.ask(stream.request(9, generation=ENFORCED))
    free = conversation.ask(stream.request(9, generation=Generation(BUDGET)))
    assert enforced.token_logprobs is not None
    assert free.token_logprobs is not None
    assert len(enforced.token_logprobs) == enforced.usage.output_tokens
    # The schema leaves nearly no choice here; under it the first token would be almost certain.
    assert enforced.token_logprobs[0] < free.token_logprobs[0] < 0


def test_a_schema_changes_what_was_asked(conversation: Conversation, stream: Stream) -> None:
    generations = (Generation(BUDGET), ENFORCED, Generation(BUDGET, schema=RED_OR_BLUE))
    asked = {
        conversation.ask(stream.request(9, generation=each)).input_hash for each in generations
    }
    assert len(asked) == len(generations)


def test_a_stop_string_ends_an_answer_of_a_schema_too(
    conversation: Conversation, stream: Stream
) -> None:
    stopped = dataclasses.replace(ENFORCED, stop=('"confidence"',))
    whole = conversation.ask(stream.request(9, generation=ENFORCED)).text
    reply = conversation.ask(stream.request(9, generation=stopped))
    assert reply.finish == "stop"
    assert whole.startswith(reply.text)
    assert '"confidence"' not in reply.text


def test_an_answer_that_is_complete_ends_before_its_budget(
    conversation: Conversation, stream: Stream
) -> None:
    generation = Generation(
        200, schema=RED_OR_BLUE.replace('"required"', '"additionalProperties": false, "required"')
    )
    reply = conversation.ask(stream.request(9, generation=generation))
    assert reply.finish == "stop"
    assert reply.usage.output_tokens < 200


def test_a_budget_without_room_for_any_answer_is_named_by_the_error(
    backend: LocalBackend, stream: Stream
) -> None:
    conversation = backend.open(stream.spec("s2", None, "small"))
    system = System("s2", SystemConfig(answering="structured", max_new_tokens=8), conversation)
    with pytest.raises(AnswerFormatError, match=r"system\.s2\.max_new_tokens=8"):
        system.answer(Question("q", 0, "What color is it?"), stream.view(0))
    system.close()


def run_config(folder: Path, model: str) -> RunConfig:
    made = videos.constant(folder)
    name = made.path.name
    write_layout(folder, [sessions.question(f"q{k}", 0.5 + k, name) for k in range(3)])
    system = {"answering": "structured", "max_new_tokens": BUDGET}
    return RunConfig.model_validate(
        {
            "dataset": {"data_dir": str(folder)},
            "model": {"path": model, "device": "cpu", "threads": 1},
            "system": {"s1": system, "s2": system, "blind": False},
            "output": {"dir": str(folder / "results")},
        }
    )


def test_a_run_asks_each_structured_question_once(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", "qwen2_vl")
    config = run_config(tmp_path, str(checkpoint))
    assert not [note for note in prepare(config).notes if "structured" in note]
    records = list(open_run(execute(LoadedConfig(config, {})).run_dir).records())
    calls = [record for record in records if isinstance(record, Call)]
    answers = [record for record in records if isinstance(record, Answered)]
    assert len(answers) == 6
    assert {call.purpose for call in calls} == {"answer"}
    assert all(answer.calls == 1 and answer.confidence is not None for answer in answers)


def test_a_run_says_once_for_each_system_why_its_answers_are_not_enforced(tmp_path: Path) -> None:
    notes = prepare(run_config(tmp_path, str(embedded_path()))).notes
    assert [note for note in notes if "s1" in note and "tokenizer" in note] == [notes[0]]
    assert [note for note in notes if "s2" in note and "tokenizer" in note] == [notes[1]]


def test_a_model_that_cannot_be_held_to_a_schema_answers_as_it_would(stream: Stream) -> None:
    """The embedded model writes words, never JSON; the system then asks it to repair that."""
    embedded = load(embedded_path())
    conversation = embedded.open(stream.spec("blind", None, "embedded"))
    free, asked = (
        conversation.ask(stream.request(9, generation=each))
        for each in (Generation(BUDGET), ENFORCED)
    )
    assert asked.text == free.text
    conversation.close()
