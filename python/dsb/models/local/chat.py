"""From messages to token ids around the video, through the checkpoint's own chat template."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dsb.errors import ModelError
from dsb.models.backend import Message

_CACHED_PROMPTS = 1024


@dataclass(frozen=True)
class Prompt:
    """Token ids before and after the visual tokens."""

    head: tuple[int, ...]
    tail: tuple[int, ...]
    #: The text behind `tail`; what a candidate answer continues.
    tail_text: str


class ChatFormat:
    """The chat template and tokenizer of one checkpoint.

    `video_pad` is the placeholder that the template writes once per video and that stands for every visual token.
    Special tokens are hard borders for the tokenizer, so the text before and after the placeholder can be
    tokenised apart; `self_test` proves that for the checkpoint at hand.
    """

    def __init__(self, tokenizer: Any, video_pad: str) -> None:
        self.tokenizer = tokenizer
        self.video_pad = video_pad
        self.prompt = lru_cache(_CACHED_PROMPTS)(self._prompt)
        self.candidates = lru_cache(_CACHED_PROMPTS)(self._candidates)

    def _prompt(self, messages: tuple[Message, ...]) -> Prompt:
        """Token ids for `messages` with the video in front of the first user turn.

        Raises:
            ModelError: there is no user turn, or a text contains the placeholder itself.
        """
        head, tail = self._render(messages)
        return Prompt(self.ids(head), self.ids(tail), tail)

    def _candidates(
        self, tail_text: str, candidates: tuple[str, ...]
    ) -> tuple[tuple[int, ...], ...]:
        """Token ids with which each candidate continues `tail_text`.

        A candidate is tokenised where it will stand: "A" after a line break and " A" after a colon are different
        tokens, and only the place decides which one the model would write.

        Raises:
            ModelError: a candidate leaves no token, or melts into the prompt.
        """
        prompt = self.ids(tail_text)
        return tuple(self._continuation(prompt, tail_text, candidate) for candidate in candidates)

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

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of `text` as it stands, nothing added."""
        return tuple(self.tokenizer(text, add_special_tokens=False).input_ids)

    def text(self, ids: list[int]) -> str:
        """What generated ids say, without special tokens and outer white space."""
        decoded: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return decoded.strip()

    def self_test(self, tokens: int) -> None:
        """Compare the pieces with the template's whole text for a video of `tokens` visual tokens.

        Raises:
            ModelError: they differ; both are shown.
        """
        messages = (
            Message("user", "What is this?"),
            Message("assistant", "A star."),
            Message("user", "Where is it now? A. left B. right"),
        )
        head, tail = self._render(messages)
        whole = self.ids(head + self.video_pad * tokens + tail)
        pad = self.tokenizer.convert_tokens_to_ids(self.video_pad)
        prompt = self.prompt(messages)
        pieces = prompt.head + (pad,) * tokens + prompt.tail
        if whole != pieces:
            raise ModelError(
                "the checkpoint's chat template cannot be split around its video: the whole text gives "
                f"{list(whole)}, the pieces {list(pieces)}; its tokenizer does not treat {self.video_pad!r} "
                "as a special token"
            )

    def _render(self, messages: tuple[Message, ...]) -> tuple[str, str]:
        turns: list[dict[str, object]] = [
            {"role": each.role, "content": each.text} for each in messages
        ]
        first = next((i for i, each in enumerate(messages) if each.role == "user"), None)
        if first is None:
            raise ModelError("a request needs at least one user message")
        turns[first]["content"] = [
            {"type": "video"},
            {"type": "text", "text": messages[first].text},
        ]
        text: str = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        parts = text.split(self.video_pad)
        if len(parts) != 2:
            raise ModelError(
                f"the prompt holds {self.video_pad!r} {len(parts) - 1} times instead of once: the checkpoint's "
                "chat template ignores videos, or a message contains the placeholder"
            )
        return parts[0], parts[1]
