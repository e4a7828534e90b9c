"""From messages to token ids around the temporal patches, through the checkpoint's own chat template."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from dsb.errors import ModelError
from dsb.models.backend import Message
from dsb.models.local.families.family import Family

_CACHED_PROMPTS = 1024
_CACHED_PIECES = 8192


@dataclass(frozen=True)
class Prompt:
    """Token ids before the first and after the last temporal patch."""

    head: tuple[int, ...]
    tail: tuple[int, ...]
    #: The text behind `tail`; what a candidate answer continues.
    tail_text: str


@dataclass(frozen=True)
class Wrap:
    """Token ids in front of a temporal patch and behind it."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """How many they are."""
        return len(self.before) + len(self.after)


class ChatFormat:
    """The chat template and tokenizer of one checkpoint.

    The template writes the family's placeholder once, and temporal patches with their text take its place. The
    text between them is tokenised piece by piece; `self_test` proves for the checkpoint at hand that this gives
    the same tokens as the whole text does.
    """

    def __init__(self, family: Family) -> None:
        self._family = family
        self._tokenizer = family.tokenizer
        self.prompt = lru_cache(_CACHED_PROMPTS)(self._prompt)
        self.candidates = lru_cache(_CACHED_PROMPTS)(self._candidates)
        self.pieces = lru_cache(_CACHED_PIECES)(self.ids)

    def _prompt(self, messages: tuple[Message, ...]) -> Prompt:
        """Token ids for `messages` with the video in front of the first user turn.

        Raises:
            ModelError: there is no user turn, or a text contains the placeholder itself.
        """
        head, tail = self._render(messages)
        return Prompt(self._from_start(head), self.ids(tail), tail)

    def wrap(self, index: int, seconds: float) -> Wrap:
        """The text around patch `index` at `seconds` of stream time."""
        return Wrap(
            self.pieces(self._family.before(index, seconds)), self.pieces(self._family.after)
        )

    def _candidates(
        self, tail_text: str, candidates: tuple[str, ...]
    ) -> tuple[tuple[int, ...], ...]:
        """Token ids with which each candidate continues `tail_text`.

        A candidate is tokenised where it will stand: "A" after a line break and " A" after a colon are different
        tokens, and only the place decides which one the model would write. White space that the chat template
        puts in front of every answer belongs to the answer, as in the texts that the model was trained on.

        Raises:
            ModelError: a candidate leaves no token, or melts into the prompt.
        """
        prompt = self.ids(tail_text)
        return tuple(
            self._continuation(prompt, tail_text, self._lead + each) for each in candidates
        )

    def _continuation(
        self, prompt: tuple[int, ...], tail_text: str, candidate: str
    ) -> tuple[int, ...]:
        whole = self.ids(tail_text + candidate)
        if len(whole) <= len(prompt) or whole[: len(prompt)] != prompt:
            raise ModelError(
                f"the candidate {candidate!r} cannot be scored: tokenised after the prompt it gives "
                f"{list(whole[-8:])}, which does not continue {list(prompt[-8:])}; use words that the tokenizer "
                "knows, or `answering: text`"
            )
        return whole[len(prompt) :]

    @cached_property
    def _lead(self) -> str:
        """White space between the template's invitation to answer and an answer of its own ("ASSISTANT: A")."""
        question, answer = _turn("user", "Where?"), _turn("assistant", "A")
        invited: str = self._apply([question], add_generation_prompt=True)
        answered: str = self._apply([question, answer], add_generation_prompt=False)
        lead = answered.removeprefix(invited).partition("A")[0]
        return lead if lead.isspace() else ""

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of `text` behind a visual token, nothing added.

        Not as if it stood alone: SentencePiece-like tokenizers put a space before the first word of a text.
        """
        if not text:
            return ()
        pad = self._family.pad
        return tuple(self._tokenizer(pad + text, add_special_tokens=False).input_ids[1:])

    def _from_start(self, text: str) -> tuple[int, ...]:
        """Token ids of `text` at the start of a sequence, with what the tokenizer puts there.

        As the stock processor does it: a template that writes the first token itself gets no second one.
        """
        first = self._tokenizer.bos_token
        added = first is None or not text.startswith(first)
        return tuple(self._tokenizer(text, add_special_tokens=added).input_ids)

    def text(self, ids: list[int]) -> str:
        """What generated ids say, without special tokens and outer white space."""
        return self.written(ids).strip()

    def written(self, ids: list[int]) -> str:
        """What generated ids say, without special tokens."""
        decoded: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return decoded

    def self_test(self, tokens: int) -> None:
        """Compare the pieces with the template's whole text for two patches of `tokens` visual tokens.

        Raises:
            ModelError: they differ; both are shown.
        """
        family = self._family
        messages = (
            Message("user", "What is this?"),
            Message("assistant", "A star."),
            Message("user", "Where is it now? A. left B. right"),
        )
        head, tail = self._render(messages)
        pad = self._tokenizer.convert_tokens_to_ids(family.pad)
        prompt = self.prompt(messages)
        closing = len(family.closing())
        text, pieces = head, list(prompt.head)
        for index, seconds in enumerate((0.5, 12.5)):
            wrap = self.wrap(index, seconds)
            text += family.before(index, seconds) + family.pad * tokens + family.after
            pieces += [*wrap.before, *[pad] * tokens, *wrap.after]
        whole = self._from_start(text + family.pad * closing + tail)
        pieces += [*[pad] * closing, *prompt.tail]
        if list(whole) != pieces:
            show = self._tokenizer.convert_ids_to_tokens
            raise ModelError(
                "the checkpoint's chat template cannot be split around its video: the whole text gives "
                f"{list(whole)} {show(list(whole))}, the pieces {pieces} {show(pieces)}; its tokenizer does not "
                f"treat {family.pad!r} as a special token, or merges the text around a patch with its neighbours"
            )

    def _render(self, messages: tuple[Message, ...]) -> tuple[str, str]:
        family = self._family
        first = next((i for i, each in enumerate(messages) if each.role == "user"), None)
        if first is None:
            raise ModelError("a request needs at least one user message")
        # Lists of parts throughout: some templates read nothing else, and silently drop a plain text.
        turns = [_turn(each.role, each.text) for each in messages]
        turns[first]["content"].insert(0, {"type": family.medium})
        text = self._apply(turns, add_generation_prompt=True)
        parts = text.split(family.placeholder)
        if len(parts) != 2:
            raise ModelError(
                f"the prompt holds {family.placeholder!r} {len(parts) - 1} times instead of once: the checkpoint's "
                f"chat template ignores {family.medium}s, or a message contains the placeholder"
            )
        lost = next((each for each in messages if each.text.strip() not in text), None)
        if lost is not None:
            raise ModelError(
                f"the checkpoint's chat template drops the {lost.role} message {lost.text!r}; leave that message out"
            )
        return parts[0], parts[1]

    def _apply(self, turns: list[dict[str, Any]], *, add_generation_prompt: bool) -> str:
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text


def _turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}
