"""Answers that keep to a JSON schema: which tokens may come next, and how an answer ends in time.

llguidance compiles a schema in milliseconds and computes the mask of one token in microseconds, whatever the size
of the vocabulary, so nothing is prepared per schema. It reads the vocabulary as bytes, which byte-level and
byte-fallback tokenizers have and others do not; `Grammars.obstacle` says why a tokenizer cannot be held to one.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dsb.errors import GrammarUnsupported, MissingDependency, ModelError
from dsb.models.local.families.family import Family

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

#: The longest ending that is looked for, in tokens.
_LONGEST_ENDING = 128
#: First bytes of tokens in the order in which they end a JSON text soonest: outside of a string what closes objects
#: and arrays, and the shortest values; inside of one its closing quote. Everything else follows, white space last.
_OUTSIDE, _INSIDE = b'}],:0"', b'"'
_OPENS = b",[{"
_WHITE = b" \t\r\n"
#: May follow inside of a string, and nowhere else in JSON.
_LETTER = b"z"
#: Has what JSON has: structure, escapes, digits, a character of several bytes.
_PROBE = '{"a b": [-1.5e3, "é\\n"], "c": true}'


class Grammars:
    """The vocabulary of one checkpoint, ready to be held to JSON schemas."""

    def __init__(self, tokenizer: Any, stop_ids: Collection[int], vocabulary: int) -> None:
        """`tokenizer` is one of transformers; `vocabulary` the number of scores that the model gives."""
        self._tokenizer = tokenizer
        self._stop_ids = sorted(stop_ids)
        self._vocabulary = vocabulary

    @cached_property
    def obstacle(self) -> str | None:
        """Why no answer of this checkpoint can be held to a schema; `None` if it can."""
        try:
            self._compiled  # noqa: B018 - compiling is the question
        except (MissingDependency, GrammarUnsupported) as error:
            return str(error)
        return None

    def describe(self) -> str:
        """What enforces schemas, with its version; `none` and the reason where nothing does."""
        if self.obstacle is not None:
            return f"none: {self.obstacle}"
        from importlib.metadata import version

        return f"llguidance {version('llguidance')}"

    def matcher(self, schema: str) -> Matcher:
        """For one answer that keeps to `schema`, a JSON schema as text.

        Raises:
            ModelError: it is not JSON, or not a schema that can be enforced.
            GrammarUnsupported: the tokenizer has no bytes.
            MissingDependency: llguidance is not installed.
        """
        vocabulary, endings = self._compiled
        from llguidance import LLMatcher

        try:
            # As one line of JSON, so that nothing of it can be read as grammar.
            wanted = json.dumps(json.loads(schema))
        except ValueError as error:
            raise ModelError(f"generation.schema is not JSON ({error}): {schema[:200]}") from error
        # Many models begin their turn with a space, which belongs to their first token.
        grammar = LLMatcher.grammar_from_lark(f"start: / ?/ answer\nanswer: %json {wanted}")
        matcher = LLMatcher(vocabulary, grammar, log_level=0)
        if matcher.is_error():
            raise ModelError(
                f"generation.schema cannot be enforced ({matcher.get_error()}): {schema[:200]}"
            )
        return Matcher(matcher, endings)

    @cached_property
    def _compiled(self) -> tuple[LLTokenizer, _Endings]:
        try:
            from llguidance.hf import from_tokenizer
        except ImportError as error:
            raise MissingDependency(
                "JSON schemas are enforced by the package llguidance: pip install llguidance"
            ) from error
        name = type(self._tokenizer).__name__
        try:
            vocabulary = from_tokenizer(
                self._tokenizer, n_vocab=self._vocabulary, eos_token=self._stop_ids or None
            )
        except ValueError as error:
            raise GrammarUnsupported(
                f"the checkpoint's tokenizer ({name}) does not spell text in bytes ({error})"
            ) from error
        ids = self._tokenizer(_PROBE, add_special_tokens=False).input_ids
        if (read := vocabulary.decode_str(ids)).strip() != _PROBE:
            raise GrammarUnsupported(
                f"the checkpoint's tokenizer ({name}) cannot write JSON: {_PROBE!r} comes back as {read!r}"
            )
        return vocabulary, _Endings(vocabulary)


def grammars_of(family: Family) -> Grammars:
    """Those of a checkpoint, loaded or not."""
    return Grammars(family.tokenizer, family.stop_ids, family.model.lm_head.out_features)


class Matcher:
    """One answer under a schema: `mask` the scores, choose, keep `within` the budget, `accept`."""

    def __init__(self, matcher: LLMatcher, endings: _Endings) -> None:
        self._matcher = matcher
        self._endings = endings

    def mask(self, scores: Tensor) -> Tensor:
        """`scores` (vocabulary,) with minus infinity where a token would leave the schema.

        A token that ends the turn is allowed exactly where the answer is complete.
        """
        allowed = torch.from_numpy(_allowed(self._matcher)[: len(scores)])
        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))

    def within(self, token: int, left: int) -> int:
        """`token`, unless the answer could then not be complete with `left` tokens, `token` among them; instead of
        it, the first token of an ending. Where no ending is found at all, `token` stands.
        """
        if left > _LONGEST_ENDING:
            return token
        after = self._matcher.deep_copy()
        after.consume_token(token)
        ending = self._endings.find(after)
        if ending is not None and len(ending) < left:
            return token
        instead = self._endings.find(self._matcher.deep_copy())
        return instead[0] if instead else token

    def accept(self, token: int) -> bool:
        """Go on behind `token`; whether the answer is complete and nothing can follow.

        Raises:
            ModelError: `token` was masked.
        """
        if not self._matcher.consume_token(token):
            raise ModelError(f"token {token} leaves the JSON schema: {self._matcher.get_error()}")
        return self._matcher.is_stopped()


class _Endings:
    """Finds few, if not the fewest, tokens that complete an answer."""

    def __init__(self, vocabulary: LLTokenizer) -> None:
        self._vocabulary = vocabulary

    def find(self, matcher: LLMatcher) -> list[int] | None:
        """Tokens behind the state of `matcher`, which is used up; `None` if they would be too many."""
        ending: list[int] = []
        while not matcher.is_accepting():
            if matcher.is_error() or len(ending) >= _LONGEST_ENDING:
                return None
            tokens = matcher.compute_ff_tokens() or self._next(_allowed(matcher))
            if not tokens:
                return None
            matcher.consume_tokens(tokens)
            ending += tokens
        return ending

    def _next(self, allowed: NDArray[np.bool_]) -> list[int]:
        """One of the allowed tokens, or none where nothing is allowed."""
        inside, outside, letters = self._places
        places = inside if allowed[letters].any() else outside
        tokens = np.flatnonzero(allowed)
        return [int(tokens[places[tokens].argmin()])] if len(tokens) else []

    @cached_property
    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Place of every id, soonest first, inside and outside of a string; and the ids that are a plain letter."""
        count = self._vocabulary.vocab_size
        spelled = [self._vocabulary.decode_bytes([token]) for token in range(count)]

        def soonest(firsts: bytes) -> NDArray[np.intp]:
            def rank(token: int) -> tuple[int, int]:
                text = spelled[token]
                if not text or text[0] in _WHITE:
                    return len(firsts) + 2, 0
                place = firsts.find(text[0])
                if place >= 0:
                    return place, len(text)
                # More is better where the text is fixed, unless it opens something behind it.
                return len(firsts) + any(mark in text for mark in _OPENS), -len(text)

            return np.argsort(sorted(range(count), key=rank))

        letters = [token for token, text in enumerate(spelled) if text == _LETTER]
        return soonest(_INSIDE), soonest(_OUTSIDE), np.array(letters, dtype=np.intp)


def _allowed(matcher: LLMatcher) -> NDArray[np.bool_]:
    """Which tokens may come next, booleans (vocabulary rounded up to whole bytes,)."""
    bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
    return np.unpackbits(bits, bitorder="little").astype(np.bool_)
