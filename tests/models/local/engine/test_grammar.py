"""Answers held to a JSON schema: whatever the scores say, the text is JSON of the schema, within the budget."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from dsb.errors import GrammarUnsupported, MissingDependency, ModelError
from dsb.models.local.engine.grammar import Grammars
from dsb.models.tiny import embedded_path
from dsb.systems.structured import SCHEMA, StructuredAnswer, parse_structured
from random_checkpoints.parts import SENTENCES
from random_checkpoints.qwen2_vl import END, byte_level_tokenizer

KINDS = ("byte-level", "byte-fallback")
#: Wider than the vocabulary, as real models are.
PADDING = 24


def byte_fallback_tokenizer() -> PreTrainedTokenizerFast:
    """Like that of Llama: spaces are "▁", one stands in front, and rare characters are bytes."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<unk>", "<s>", END, *bytes_], show_progress=False
    )
    tokenizer.train_from_iterator([*SENTENCES, '{"answer": "red", "confidence": 0.5}'] * 4, trainer)
    # Only the first three are special; the bytes are ordinary tokens.
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][:3]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)), unk_token="<unk>", eos_token=END
    )


@cache
def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    return byte_level_tokenizer() if kind == "byte-level" else byte_fallback_tokenizer()


@cache
def grammars_of(kind: str) -> Grammars:
    tokenizer = tokenizer_of(kind)
    return Grammars(tokenizer, [tokenizer.eos_token_id], len(tokenizer) + PADDING)


def write(kind: str, schema: str, scores: Any, budget: int, temperature: float, seed: int) -> str:
    """What a model writes whose scores of the i-th token are `scores(i)`."""
    tokenizer, matcher = tokenizer_of(kind), grammars_of(kind).matcher(schema)
    random = torch.Generator().manual_seed(seed)
    ids: list[int] = []
    while len(ids) < budget:
        masked = matcher.mask(scores(len(ids)))
        token = int(masked.argmax())
        if temperature:
            chances = torch.softmax(masked / temperature, dim=-1)
            token = int(torch.multinomial(chances, 1, generator=random))
        token = matcher.within(token, budget - len(ids))
        if token == tokenizer.eos_token_id:
            break
        ids.append(token)
        if matcher.accept(token):
            break
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


def keeps_to(schema: dict[str, Any], value: Any) -> bool:
    """Whether `value` is what `schema` says, for the few words of JSON Schema that `SCHEMAS` uses."""
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(keeps_to(each, value) for each in schema["anyOf"])
    if schema["type"] == "object":
        known = schema["properties"]
        return (
            isinstance(value, dict)
            and set(schema["required"]) <= set(value) <= set(known)
            and all(keeps_to(known[name], each) for name, each in value.items())
        )
    if schema["type"] == "array":
        return (
            isinstance(value, list)
            and schema.get("minItems", 0) <= len(value)
            and all(keeps_to(schema["items"], each) for each in value)
        )
    if schema["type"] in ("integer", "number"):
        kinds = int if schema["type"] == "integer" else int | float
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        return isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
    return isinstance(value, {"string": str, "boolean": bool}[schema["type"]])


VALUES = st.one_of(
    st.sampled_from([{"type": "string"}, {"type": "boolean"}, {"type": "integer"}]),
    st.integers(0, 9).map(lambda low: {"type": "number", "minimum": low, "maximum": low + 3}),
    st.lists(st.sampled_from(["red", "blue", "né"]), min_size=1, unique=True).map(
        lambda words: {"enum": words}
    ),
)
SCHEMAS = st.dictionaries(st.sampled_from(["a", "b c", 'd"']), VALUES, min_size=1).flatmap(
    lambda fields: st.sampled_from(sorted(fields)).map(
        lambda needed: {
            "type": "object",
            "properties": {
                **fields,
                "more": {"type": "array", "items": fields[needed], "minItems": 1},
            },
            "required": [needed, "more"],
            "additionalProperties": False,
        }
    )
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(SCHEMAS, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.7, 2.0]), st.integers(90, 160))
def test_any_scores_give_json_of_the_schema_within_the_budget(
    kind: str, schema: dict[str, Any], seed: int, temperature: float, budget: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    width = len(tokenizer_of(kind)) + PADDING
    liking = torch.randn(width, generator=random) * 3

    def scores(_: int) -> torch.Tensor:
        return liking + torch.randn(width, generator=random)

    text = write(kind, json.dumps(schema), scores, budget, temperature, seed)
    assert keeps_to(schema, json.loads(text)), text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    [
        '{"answer": "red", "confidence": 0.75, "need_s2": true}',
        '{"answer":"the red star \\"é\\" ☆","confidence":1}',
        '{\n  "answer": 12,\n  "confidence": 0.5,\n  "need_s2": false\n}',
    ],
)
def test_what_is_of_the_schema_anyway_stays_as_it_is(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)
    ids = [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]

    def scores(place: int) -> torch.Tensor:
        return torch.nn.functional.one_hot(
            torch.tensor(ids[place]), len(tokenizer) + PADDING
        ).double()

    assert write(kind, SCHEMA, scores, len(ids) + 8, 0.0, 0) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_never_ends_a_string_is_made_to(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    width = len(tokenizer) + PADDING
    likes = torch.zeros(width)
    likes[[token for token in range(len(tokenizer)) if not tokenizer.decode([token]).strip()]] = -1
    likes[tokenizer.convert_tokens_to_ids("e")] = 1
    # As if only a string could be the answer.
    schema = json.loads(SCHEMA)
    schema["properties"]["answer"] = {"type": "string"}
    text = write(kind, json.dumps(schema), lambda _: likes, 80, 0.0, 0)
    parsed = parse_structured(text)
    assert isinstance(parsed, StructuredAnswer)
    assert set(parsed.text) == {"e"}


def test_the_turn_may_end_only_where_the_answer_is_complete() -> None:
    tokenizer, matcher = (
        tokenizer_of("byte-level"),
        grammars_of("byte-level").matcher('{"enum": [12]}'),
    )
    end, width = tokenizer.eos_token_id, len(tokenizer) + PADDING
    seen = []
    for token in tokenizer("12", add_special_tokens=False).input_ids:
        seen.append(bool(matcher.mask(torch.zeros(width))[end] == 0))
        complete = matcher.accept(token)
    assert seen == [False] * len(seen)
    assert complete


def test_a_token_outside_of_the_schema_is_an_error_and_never_written() -> None:
    tokenizer, matcher = tokenizer_of("byte-level"), grammars_of("byte-level").matcher(SCHEMA)
    with pytest.raises(ModelError, match="leaves the JSON schema"):
        matcher.accept(tokenizer.convert_tokens_to_ids("A"))


@pytest.mark.parametrize(
    ("schema", "problem"), [("{", "not JSON"), ('{"type": "star"}', "cannot be enforced")]
)
def test_a_schema_that_cannot_be_enforced_is_an_error_that_shows_it(
    schema: str, problem: str
) -> None:
    with pytest.raises(ModelError, match=problem) as caught:
        grammars_of("byte-level").matcher(schema)
    assert schema in str(caught.value)


def test_a_tokenizer_of_whole_words_cannot_be_held_to_a_schema_and_says_why() -> None:
    grammars = Grammars(AutoTokenizer.from_pretrained(embedded_path()), [0], 128)
    assert grammars.describe().startswith("none: the checkpoint's tokenizer")
    with pytest.raises(GrammarUnsupported, match="bytes"):
        grammars.matcher(SCHEMA)


def test_without_the_library_the_reason_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance.hf", None)
    grammars = Grammars(byte_level_tokenizer(), [0], 400)
    assert grammars.obstacle is not None
    assert "pip install llguidance" in grammars.obstacle
    with pytest.raises(MissingDependency):
        grammars.matcher(SCHEMA)
