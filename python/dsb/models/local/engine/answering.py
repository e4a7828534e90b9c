"""From questions behind a context to answers: likelihoods of candidates, or generated text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from dsb.models.backend import Generation
from dsb.models.local.engine.context import Tail
from dsb.models.local.engine.grammar import Matcher
from dsb.models.local.engine.tree import TokenTree
from dsb.models.local.families.chat import ChatFormat
from dsb.models.local.families.family import Family
from dsb.models.local.families.tokens import Tokens


@dataclass(frozen=True)
class Ask:
    """One question behind a prefix."""

    tail: tuple[int, ...]
    #: Token ids of each candidate; empty to generate.
    candidates: tuple[tuple[int, ...], ...]
    generation: Generation
    #: Holds a generated answer to its JSON schema.
    matcher: Matcher | None = None


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


class Answering:
    """Questions behind one context, answered in the same forwards."""

    def __init__(self, family: Family, chat: ChatFormat, tree: TokenTree, tail: Tail) -> None:
        """`tail` is where the text of every question begins."""
        self._family = family
        self._chat = chat
        self._tree = tree
        self._tail = tail

    def run(
        self, asks: Sequence[Ask], provisional: Tokens | None
    ) -> tuple[list[Outcome], Timeline]:
        """Answer `asks`; all of them see the tokens of a `provisional` patch first."""
        begun = time.perf_counter_ns()
        root = self._tree.branch()
        branches = [self._tree.branch(root) for _ in asks]
        rows = [] if provisional is None else [(root, provisional)]
        rows += [(branch, self._question(ask)) for branch, ask in zip(branches, asks, strict=True)]
        hidden = self._tree.extend(rows)
        lengths = torch.tensor([len(tokens) for _, tokens in rows])
        last = (lengths.cumsum(0) - 1)[-len(asks) :].to(hidden.device)
        scores = self._logprobs(hidden[last])
        prefilled = time.perf_counter_ns()
        outcomes = [Outcome() for _ in asks]
        self._score(asks, branches, scores, outcomes)
        first = self._generate(asks, branches, scores, outcomes)
        done = time.perf_counter_ns()
        return outcomes, Timeline(prefilled - begun, done - prefilled, (first or done) - begun)

    def _question(self, ask: Ask) -> Tokens:
        closing = self._family.closing()
        embeds = torch.cat([closing, self._family.embed(ask.tail)])
        return Tokens(embeds, self._tail.line(self._family, 0, len(embeds)))

    def _text(self, offset: int, ids: Sequence[int]) -> Tokens:
        """Text from the `offset`-th token behind the context on."""
        line = self._tail.line(self._family, offset, len(ids))
        return Tokens(self._family.embed(ids), line)

    def _length(self, ask: Ask) -> int:
        return len(self._family.closing()) + len(ask.tail)

    def _logprobs(self, hidden: Tensor) -> Tensor:
        return torch.log_softmax(self._family.logits(hidden), dim=-1).cpu()

    # -- candidates --------------------------------------------------------------------------------

    def _score(
        self,
        asks: Sequence[Ask],
        branches: Sequence[int],
        scores: Tensor,
        outcomes: Sequence[Outcome],
    ) -> None:
        """Fill in the log-probabilities of candidates, from those behind each question: (asks, vocabulary)."""
        rows: list[tuple[int, Tokens]] = []
        places: list[tuple[int, int, bool]] = []
        totals = [_first_tokens(ask, row) for ask, row in zip(asks, scores, strict=True)]
        stops = sorted(self._family.stop_ids)
        for index, ask in enumerate(asks):
            ends = bool(stops) and _begin_each_other(ask.candidates)
            for number, ids in enumerate(ask.candidates):
                read = ids if ends else ids[:-1]
                if read:
                    branch = self._tree.branch(branches[index])
                    rows.append((branch, self._text(self._length(ask), read)))
                    places.append((index, number, ends))
        if rows:
            further = self._logprobs(self._tree.extend(rows))
            behind = further.split([len(tokens) for _, tokens in rows])
            for (index, number, ends), lines in zip(places, behind, strict=True):
                wanted = torch.tensor(asks[index].candidates[number][1:], dtype=torch.long)
                totals[index][number] += lines[torch.arange(len(wanted)), wanted].sum()
                if ends:
                    # Whichever of its tokens ends the turn.
                    totals[index][number] += lines[-1, stops].logsumexp(0)
        for outcome, total in zip(outcomes, totals, strict=True):
            if len(total):
                outcome.candidate_logprobs = tuple(torch.log_softmax(total, dim=0).tolist())

    # -- generation --------------------------------------------------------------------------------

    def _generate(
        self,
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
                random = torch.Generator().manual_seed(ask.generation.seed)
                writers.append(_Writer(branch, self._length(ask), ask, outcome, random))
                lines.append(line)
        first: int | None = None
        while writers:
            writers = [
                writer
                for writer, line in zip(writers, lines, strict=True)
                if self._take(writer, writer.choose(line), line)
            ]
            first = first or time.perf_counter_ns()
            if not writers:
                break
            rows = []
            for writer in writers:
                rows.append((writer.branch, self._text(writer.offset, writer.outcome.ids[-1:])))
                writer.offset += 1
            lines = list(self._logprobs(self._tree.extend(rows)))
        return first

    def _take(self, writer: _Writer, token: int, scores: Tensor) -> bool:
        """Add a token to an answer; whether the answer goes on."""
        outcome, generation = writer.outcome, writer.ask.generation
        if token in self._family.stop_ids:
            return False
        outcome.ids.append(token)
        outcome.logprobs.append(float(scores[token]))
        outcome.text = self._chat.text(outcome.ids)
        written = self._chat.written(outcome.ids).lstrip()
        stops = [written.index(stop) for stop in generation.stop if stop in written]
        if stops:
            outcome.text = written[: min(stops)].strip()
            return False
        if writer.ask.matcher is not None and writer.ask.matcher.accept(token):
            return False
        if len(outcome.ids) >= generation.max_new_tokens:
            outcome.finish = "length"
            return False
        return True


@dataclass
class _Writer:
    """One answer while it is generated."""

    branch: int
    #: Of the next token, counted from the end of the context.
    offset: int
    ask: Ask
    outcome: Outcome
    random: torch.Generator

    def choose(self, scores: Tensor) -> int:
        """The next token from log-probabilities (vocabulary,)."""
        matcher = self.ask.matcher
        if matcher is None:
            return self._draw(scores)
        left = self.ask.generation.max_new_tokens - len(self.outcome.ids)
        return matcher.within(self._draw(matcher.mask(scores)), left)

    def _draw(self, scores: Tensor) -> int:
        temperature = self.ask.generation.temperature
        if temperature == 0:
            return int(scores.argmax())
        chances = torch.softmax(scores / temperature, dim=-1)
        return int(torch.multinomial(chances, 1, generator=self.random))


def _first_tokens(ask: Ask, scores: Tensor) -> Tensor:
    firsts = [ids[0] for ids in ask.candidates]
    return scores[torch.tensor(firsts, dtype=torch.long)].double()


def _begin_each_other(candidates: Sequence[tuple[int, ...]]) -> bool:
    """Whether one of them begins another; then the end of the turn belongs to the likelihood of all.

    Without it "red" would always be at least as likely as "red star", which contains it.
    """
    return any(len(a) < len(b) and b[: len(a)] == a for a in candidates for b in candidates)
