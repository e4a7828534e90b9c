"""The language model over a tree of tokens: one shared prefix, questions behind it, candidates behind those.

All tokens of a tree lie in one sequence with one KV cache. A token sees the earlier tokens of its own branch and
of the branches above it, and nothing of its siblings, so any number of questions share the prefix in one forward.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from dsb.models.backend import Decoding
from dsb.models.local.family import Family


@dataclass(frozen=True)
class Prefix:
    """What all questions of one call read first: chat header and visual tokens."""

    #: (n, width) in the model's dtype.
    embeds: Tensor
    #: (axes, n).
    positions: Tensor
    #: Position of the first text token behind it.
    end: int


@dataclass(frozen=True)
class Ask:
    """One question behind a prefix."""

    tail: tuple[int, ...]
    #: Token ids of each candidate; empty to generate.
    candidates: tuple[tuple[int, ...], ...]
    decoding: Decoding


@dataclass
class Outcome:
    """What the model made of one question."""

    #: Generated ids without the end token.
    ids: list[int] = field(default_factory=list)
    #: Log-probability of each of `ids`.
    logprobs: list[float] = field(default_factory=list)
    #: Normalised over the candidates; empty without candidates.
    candidate_logprobs: tuple[float, ...] = ()
    text: str = ""
    finish: Literal["stop", "length"] = "stop"


@dataclass
class Timeline:
    """Wall time of one call."""

    prefill_ns: int = 0
    decode_ns: int = 0
    #: From the start of the forward to the first output token.
    first_ns: int = 0


class TokenTree:
    """Branches of tokens over one KV cache."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._cache = DynamicCache(config=family.model.config.get_text_config())
        self._owners: list[int] = []
        #: Per branch, the branches that it sees: itself and those above it.
        self._sees: list[frozenset[int]] = []

    def branch(self, parent: int | None = None) -> int:
        """A new branch that grows from `parent`."""
        new = len(self._sees)
        above = frozenset() if parent is None else self._sees[parent]
        self._sees.append(above | {new})
        return new

    def extend(self, rows: Sequence[tuple[int, Tensor, Tensor]]) -> Tensor:
        """Append tokens to branches in one forward: (branch, embeddings (n, width), positions (axes, n)) each.

        Returns the hidden states of all of them, (sum of n, width).
        """
        fresh = [branch for branch, embeds, _ in rows for _ in range(len(embeds))]
        mask = self._mask(fresh, [branch for branch, _, _ in rows])
        self._owners += fresh
        return self._family.hidden(
            torch.cat([embeds for _, embeds, _ in rows]),
            torch.cat([positions for _, _, positions in rows], dim=1),
            self._cache,
            mask,
        )

    def _mask(self, fresh: list[int], branches: list[int]) -> Tensor | None:
        """Additive mask (new, cached + new); `None` when plain causality says the same."""
        earlier = set(self._owners)
        for branch in branches:
            if not self._sees[branch] >= earlier:
                break
            earlier.add(branch)
        else:
            return None
        family = self._family
        sees = torch.tensor(
            [[other in seen for other in range(len(self._sees))] for seen in self._sees]
        )
        owners = torch.tensor(self._owners + fresh)
        visible = sees[torch.tensor(fresh)][:, owners].tril(diagonal=len(self._owners))
        blocked = torch.zeros(visible.shape, dtype=family.dtype)
        return blocked.masked_fill_(~visible, float("-inf")).to(family.device)


def run(family: Family, prefix: Prefix, asks: Sequence[Ask]) -> tuple[list[Outcome], Timeline]:
    """Answer `asks` behind `prefix`, all of them in the same forwards."""
    begun = time.perf_counter_ns()
    tree = TokenTree(family)
    root = tree.branch()
    branches = [tree.branch(root) for _ in asks]
    rows = [(root, prefix.embeds, prefix.positions)]
    for branch, ask in zip(branches, asks, strict=True):
        place = family.text_positions(prefix.end, len(ask.tail))
        rows.append((branch, family.embed(ask.tail), place))
    hidden = tree.extend(rows)
    lengths = torch.tensor([len(prefix.embeds), *(len(ask.tail) for ask in asks)])
    last = (lengths.cumsum(0) - 1)[1:].to(hidden.device)
    scores = torch.log_softmax(family.logits(hidden[last]), dim=-1).cpu()
    prefilled = time.perf_counter_ns()
    outcomes = [Outcome() for _ in asks]
    _score(family, tree, prefix, asks, branches, scores, outcomes)
    first = _generate(family, tree, prefix, asks, branches, scores, outcomes)
    done = time.perf_counter_ns()
    timeline = Timeline(prefilled - begun, done - prefilled, (first or done) - begun)
    return outcomes, timeline


# -- candidates ------------------------------------------------------------------------------------


def _score(
    family: Family,
    tree: TokenTree,
    prefix: Prefix,
    asks: Sequence[Ask],
    branches: Sequence[int],
    scores: Tensor,
    outcomes: Sequence[Outcome],
) -> None:
    """Fill in the log-probabilities of candidates. `scores` are those behind each question, (asks, vocabulary)."""
    rows: list[tuple[int, Tensor, Tensor]] = []
    targets: list[list[int]] = []
    totals = [_first_tokens(ask, row) for ask, row in zip(asks, scores, strict=True)]
    places: list[tuple[int, int]] = []
    for index, ask in enumerate(asks):
        start = prefix.end + len(ask.tail)
        for number, ids in enumerate(_closed(ask.candidates, family.stop_ids)):
            if len(ids) > 1:
                branch = tree.branch(branches[index])
                place = family.text_positions(start, len(ids) - 1)
                rows.append((branch, family.embed(ids[:-1]), place))
                targets.append(list(ids[1:]))
                places.append((index, number))
    if rows:
        further = torch.log_softmax(family.logits(tree.extend(rows)), dim=-1).cpu()
        offset = 0
        for (index, number), wanted in zip(places, targets, strict=True):
            lines = torch.arange(offset, offset + len(wanted))
            totals[index][number] += further[lines, torch.tensor(wanted)].sum()
            offset += len(wanted)
    for outcome, total in zip(outcomes, totals, strict=True):
        if len(total):
            outcome.candidate_logprobs = tuple(torch.log_softmax(total, dim=0).tolist())


def _first_tokens(ask: Ask, scores: Tensor) -> Tensor:
    firsts = [ids[0] for ids in ask.candidates]
    return scores[torch.tensor(firsts, dtype=torch.long)].double()


def _closed(
    candidates: Sequence[tuple[int, ...]], stop_ids: frozenset[int]
) -> list[tuple[int, ...]]:
    """The candidates, each with the end of the turn when one of them begins another.

    Without it "red" would always be at least as likely as "red star", which contains it.
    """
    begins = any(len(a) < len(b) and b[: len(a)] == a for a in candidates for b in candidates)
    end = (min(stop_ids),) if begins and stop_ids else ()
    return [ids + end for ids in candidates]


# -- generation ------------------------------------------------------------------------------------


@dataclass
class _Writer:
    """One answer while it is generated."""

    branch: int
    position: int
    ask: Ask
    outcome: Outcome
    random: torch.Generator | None

    def choose(self, scores: Tensor) -> int:
        """The next token from log-probabilities (vocabulary,)."""
        temperature = self.ask.decoding.temperature
        if temperature == 0:
            return int(scores.argmax())
        chances = torch.softmax(scores / temperature, dim=-1)
        return int(torch.multinomial(chances, 1, generator=self.random))


def _generate(
    family: Family,
    tree: TokenTree,
    prefix: Prefix,
    asks: Sequence[Ask],
    branches: Sequence[int],
    scores: Tensor,
    outcomes: Sequence[Outcome],
) -> int | None:
    """Write the answers of all asks without candidates; returns when the first token was there, if any."""
    writers: list[_Writer] = []
    lines: list[Tensor] = []
    for ask, branch, line, outcome in zip(asks, branches, scores, outcomes, strict=True):
        if not ask.candidates:
            random = torch.Generator().manual_seed(ask.decoding.seed)
            writers.append(_Writer(branch, prefix.end + len(ask.tail), ask, outcome, random))
            lines.append(line)
    first: int | None = None
    while writers:
        going = [
            writer
            for writer, line in zip(writers, lines, strict=True)
            if _take(family, writer, writer.choose(line), line)
        ]
        first = first or time.perf_counter_ns()
        if not going:
            break
        rows = []
        for writer in going:
            place = family.text_positions(writer.position, 1)
            rows.append((writer.branch, family.embed(writer.outcome.ids[-1:]), place))
            writer.position += 1
        lines = list(torch.log_softmax(family.logits(tree.extend(rows)), dim=-1).cpu())
        writers = going
    return first


def _take(family: Family, writer: _Writer, token: int, scores: Tensor) -> bool:
    """Add a token to an answer; whether the answer goes on."""
    outcome, decoding = writer.outcome, writer.ask.decoding
    if token in family.stop_ids:
        return False
    outcome.ids.append(token)
    outcome.logprobs.append(float(scores[token]))
    outcome.text = family.chat.text(outcome.ids)
    for stop in decoding.stop:
        if stop in outcome.text:
            outcome.text = outcome.text[: outcome.text.index(stop)].strip()
            return False
    if len(outcome.ids) >= decoding.max_new_tokens:
        outcome.finish = "length"
        return False
    return True
