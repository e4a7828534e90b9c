"""What the engine must equal: one forward over all tokens that were ever read, under an explicit mask.

Slow and simple on purpose: every frame is encoded again, every answer computes everything again for every token,
and who sees whom is a table.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from dsb.config.schema import CacheConfig
from dsb.models.backend import Message, Request
from dsb.models.local.backend import LocalBackend
from dsb.models.local.conversation import LocalConversation
from dsb.models.local.engine.choose_prefill import PrefillFactory
from dsb.models.local.engine.forward import Forward
from dsb.models.local.engine.tree import TokenTree
from dsb.models.local.families.tokens import Clock, Cursor, Tokens

#: Owners of tokens that belong to no patch.
HEADER, PROVISIONAL, QUESTION = -1, -2, -3


def with_cache(backend: LocalBackend, **cache: Any) -> LocalBackend:
    """The same loaded model behind another cache configuration."""
    twin = copy.copy(backend)
    twin._cache = CacheConfig(**cache)
    twin._prefills = PrefillFactory(Forward(backend.family), backend.chat, twin._cache)
    twin._sessions = {}
    return twin


@dataclass
class Written:
    """An answer and the log-probability of each of its tokens."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


@dataclass
class Reference:
    """Full recomputation for one video."""

    backend: LocalBackend
    #: (T, H, W, 3) uint8.
    frames: NDArray[np.uint8]
    fps: Fraction

    def answer(
        self,
        text: str,
        shown: int,
        *,
        sees: Mapping[int, frozenset[int]] | None = None,
        visible: Sequence[int] | None = None,
        tokens: int = 4,
        history: Sequence[Message] = (),
    ) -> Written:
        """Greedy answer behind the first `shown` frames.

        `sees[k]` are the earlier patches that patch k saw when it was read, `visible` those that the question sees;
        without them everything does.
        """
        family = self.backend.family
        parts, owners, cursor = self._read(shown)
        prompt = self.backend.chat.prompt((*history, Message("user", text)))
        closing = family.closing()
        question = torch.cat([closing, family.embed(prompt.tail)])
        parts.append(Tokens(question, family.line(cursor.next, len(question))))
        owners += [QUESTION] * len(question)
        place, written = cursor.next + len(question), Written()
        while len(written.ids) < tokens:
            mask = None if sees is None else self._mask(owners, sees, visible or ())
            scores = torch.log_softmax(self._forward(Tokens.join(parts), mask), dim=-1)
            token = int(scores.argmax())
            if token in family.stop_ids:
                break
            written.ids.append(token)
            written.logprobs.append(float(scores[token]))
            parts.append(Tokens(family.embed([token]), family.line(place, 1)))
            owners.append(QUESTION)
            place += 1
        return written

    def reindexed(self, text: str, shown: int, visible: Sequence[int]) -> torch.Tensor:
        """Log-probabilities of the first token when only the patches `visible` were ever read, close together.

        Their text is the one with which they came.
        """
        family = self.backend.family
        parts, _, cursor = self._read(shown, [*visible, shown // family.span])
        prompt = self.backend.chat.prompt((Message("user", text),))
        question = torch.cat([family.closing(), family.embed(prompt.tail)])
        parts.append(Tokens(question, family.line(cursor.next, len(question))))
        return torch.log_softmax(self._forward(Tokens.join(parts), None), dim=-1)

    def _read(
        self, shown: int, only: Sequence[int] | None = None
    ) -> tuple[list[Tokens], list[int], Cursor]:
        """All patches, or `only` these, placed as if there had been no others."""
        family, chat = self.backend.family, self.backend.chat
        height, width = self.frames.shape[1:3]
        clock = Clock(family.grid((width, height)), self.fps)
        head, cursor = family.text(chat.prompt((Message("user", "?"),)).head, Cursor())
        cursor = Cursor(cursor.next, cursor.next)
        parts, owners = [head], [HEADER] * len(head)
        for index, start in enumerate(range(0, shown, family.span)):
            if only is not None and index not in only:
                continue
            own = self.frames[start : min(start + family.span, shown)]
            seconds = float(sum(range(start, start + len(own))) / len(own) / self.fps)
            pair = np.concatenate([own, own[-1:].repeat(family.span - len(own), 0)])
            values = family.encode(torch.tensor(pair))
            wrap = chat.wrap(index, seconds)
            before, cursor = family.text(wrap.before, cursor)
            place = index if only is None else sum(1 for each in only if each < index)
            places, cursor = family.place(cursor, place, clock)
            visual = Tokens(values[0], places, values[1:] if family.depth else None)
            after, cursor = family.text(wrap.after, cursor)
            parts += [before, visual, after]
            count = len(before) + len(visual) + len(after)
            owners += [index if len(own) == family.span else PROVISIONAL] * count
        return parts, owners, cursor

    def _mask(
        self, owners: list[int], sees: Mapping[int, frozenset[int]], visible: Sequence[int]
    ) -> torch.Tensor:
        columns = torch.tensor(owners)
        mask = torch.zeros((len(owners), len(owners)), dtype=torch.bool)
        for reader in set(owners):
            seen = {reader, HEADER}
            if reader in (PROVISIONAL, QUESTION):
                seen |= {PROVISIONAL, *visible}
            elif reader != HEADER:
                seen |= sees[reader]
            mask[columns == reader] = torch.isin(columns, torch.tensor(sorted(seen)))
        return mask.tril()

    def _forward(self, tokens: Tokens, mask: torch.Tensor | None) -> torch.Tensor:
        family = self.backend.family
        cache = DynamicCache(config=family.model.config.get_text_config())
        return family.logits(family.hidden(tokens, cache, mask)[-1:])[0]


def first_logprobs(conversation: LocalConversation, request: Request) -> torch.Tensor:
    """Log-probabilities of the first token of an answer, over the whole vocabulary."""
    family, chat = conversation._family, conversation._chat
    prompt = chat.prompt(request.messages)
    ready = conversation._prefill.prepare(prompt.head, request.view)
    context = ready.context
    with TokenTree.grown(context.forward, context.arena, ready.visible) as tree:
        patch, tail = context.ending(ready.provisional)
        root = tree.branch()
        question = torch.cat([family.closing(), family.embed(prompt.tail)])
        rows = [] if patch is None else [(root, patch)]
        rows.append((tree.branch(root), Tokens(question, tail.line(family, 0, len(question)))))
        return torch.log_softmax(family.logits(tree.extend(rows)[-1:]), dim=-1)[0]


def staircase(shown: int, span: int, most: int) -> tuple[dict[int, frozenset[int]], list[int]]:
    """What patches and a question saw through a window of `most` frames: for `sees` and `visible`."""
    sees = {}
    for number in range(shown // span):
        stop = (number + 1) * span
        first = -(-max(0, stop - most) // span)
        sees[number] = frozenset(range(first, number))
    first = -(-max(0, shown - most) // span)
    return sees, list(range(first, shown // span))
