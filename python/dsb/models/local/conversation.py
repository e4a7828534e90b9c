"""One system watching one stream through a local model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import torch

from dsb.errors import ModelError
from dsb.models.backend import (
    Abilities,
    Counters,
    Receipt,
    Reply,
    Request,
    StreamSpec,
    Timing,
    Turn,
    Usage,
)
from dsb.models.digest import input_hash
from dsb.models.local.chat import Prompt
from dsb.models.local.engine import Ask, Outcome, Prefix, Timeline, run
from dsb.models.local.failures import typed_failures
from dsb.models.local.family import Family, PatchGrid
from dsb.models.local.visual import EncodeOnce, Seen, Sight
from dsb.models.polling import Polling

if TYPE_CHECKING:
    from dsb._core import Window
    from dsb.stream.view import StreamView


@dataclass
class Session:
    """What the conversations of one session share."""

    counters: Counters = field(default_factory=Counters)
    #: Per frame size.
    caches: dict[tuple[int, int], EncodeOnce] = field(default_factory=dict)
    #: How many are open.
    conversations: int = 0


class LocalConversation:
    """Answers questions about what its window holds; a question leaves no trace."""

    def __init__(
        self,
        family: Family,
        grid: PatchGrid,
        spec: StreamSpec,
        sight: Sight | None,
        black: Seen,
        session: Session,
    ) -> None:
        """`sight` is `None` for the blind control; `black` is what is seen where no frame is."""
        self.abilities = Abilities(
            question="fork",
            logprobs=True,
            needs_window=sight is not None and sight.reads_pixels,
            receipt="processed",
        )
        self._family = family
        self._grid = grid
        self._spec = spec
        self._sight = sight
        self._black = black
        self._session = session
        self._polling = Polling(self.ask_many)
        self._observed: int | None = None
        self._closed = False

    def observe(self, window: Window) -> Receipt:
        """Take new frames; with `reuse: embed` every patch that they complete is encoded now.

        Raises:
            ModelError: frames are missing before these, or encoding failed; the conversation is as before.
        """
        self._check_open()
        if len(window):
            if self._sight is not None:
                with typed_failures("encoding frames"):
                    self._sight.observe(window)
            self._observed = window.ids[-1]
        processed = None if self._sight is None else self._sight.processed_through
        return Receipt(accepted_through=self._observed, processed_through=processed)

    def ask(self, request: Request) -> Reply:
        """Answer one question; see `ask_many`."""
        return self.ask_many([request])[0]

    def ask_many(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer questions of one stream time, all of them in the same forwards.

        Every reply carries the wall time of the whole call; behind the first one of a shared prefix, the prefix
        counts as cached.

        Raises:
            ModelError: different times, a request that the model cannot take, or a failure inside.
            OutOfMemory: the window does not fit.
        """
        self._check_open()
        if not requests:
            return []
        if len({request.t_ns for request in requests}) > 1:
            raise ModelError("ask_many takes questions of one stream time; ask the others apart")
        with typed_failures(f"answering {requests[0].key!r}"), torch.inference_mode():
            begun = time.perf_counter_ns()
            seen = self._look(requests[0].view)
            prompts = [self._family.chat.prompt(request.messages) for request in requests]
            replies: dict[int, Reply] = {}
            # Requests with different system prompts have no common prefix.
            for head in dict.fromkeys(prompt.head for prompt in prompts):
                members = [i for i, prompt in enumerate(prompts) if prompt.head == head]
                prefix = self._prefix(head, seen)
                asks = [self._as_ask(requests[i], prompts[i]) for i in members]
                encoded = time.perf_counter_ns()
                outcomes, timeline = run(self._family, prefix, asks)
                timing = _timing(begun, encoded, timeline)
                self._session.counters.model_calls += 1
                self._session.counters.model_ns += timeline.prefill_ns + timeline.decode_ns
                for place, (i, outcome) in enumerate(zip(members, outcomes, strict=True)):
                    usage = self._usage(prompts[i], seen, outcome, shared=place > 0)
                    replies[i] = _reply(requests[i], seen, outcome, usage, timing)
        return [replies[i] for i in range(len(requests))]

    def watch(self, request: Request) -> None:
        """Poll a standing instruction at every tick from now on."""
        self._check_open()
        self._polling.watch(request)

    def turn(self, tick_ns: int, view: StreamView, keys: Sequence[str]) -> list[Turn]:
        """Poll these standing instructions, all in the same forward."""
        self._check_open()
        return self._polling.turn(tick_ns, view, keys)

    def close(self) -> None:
        """Let go of the session's encoded frames, with its last conversation."""
        self._check_open()
        self._closed = True
        self._session.conversations -= 1
        if self._session.conversations == 0:
            self._session.caches.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError(f"the conversation of {self._spec.system} is closed; open another one")

    def _look(self, view: StreamView) -> Seen:
        if self._sight is None or self._spec.window is None:
            return self._black
        return self._sight.look(self._spec.window, view) or self._black

    def _prefix(self, head: tuple[int, ...], seen: Seen) -> Prefix:
        family = self._family
        visual, end = family.visual_positions(len(head), seen.patches, self._grid, self._sampled)
        return Prefix(
            torch.cat([family.embed(head), seen.embeds]),
            torch.cat([family.text_positions(0, len(head)), visual], dim=1),
            end,
        )

    @property
    def _sampled(self) -> Fraction:
        """Frames per second inside the window."""
        window = self._spec.window
        return self._spec.fps if window is None or window.rate is None else Fraction(*window.rate)

    def _as_ask(self, request: Request, prompt: Prompt) -> Ask:
        candidates = self._family.chat.candidates(prompt.tail_text, request.candidates)
        return Ask(prompt.tail, candidates, request.decoding)

    def _usage(self, prompt: Prompt, seen: Seen, outcome: Outcome, *, shared: bool) -> Usage:
        visual = seen.patches * self._grid.tokens
        prefix = len(prompt.head) + visual
        return Usage(
            input_tokens=prefix + len(prompt.tail),
            visual_tokens=visual,
            cached_tokens=prefix if shared else 0,
            output_tokens=len(outcome.ids),
        )


def _timing(begun: int, encoded: int, timeline: Timeline) -> Timing:
    return Timing(
        service_ns=time.perf_counter_ns() - begun,
        ttft_ns=encoded - begun + timeline.first_ns,
        encode_ns=encoded - begun,
        prefill_ns=timeline.prefill_ns,
        decode_ns=timeline.decode_ns,
    )


def _reply(request: Request, seen: Seen, outcome: Outcome, usage: Usage, timing: Timing) -> Reply:
    logprobs = outcome.candidate_logprobs
    likeliest = (
        request.candidates[max(range(len(logprobs)), key=logprobs.__getitem__)]
        if logprobs
        else None
    )
    return Reply(
        text=outcome.text if likeliest is None else likeliest,
        candidate_logprobs=logprobs or None,
        token_logprobs=None if logprobs else tuple(outcome.logprobs),
        usage=usage,
        timing=timing,
        finish=outcome.finish,
        frames=seen.frames,
        visible_until_ns=seen.visible_until_ns,
        input_hash=input_hash(request, seen.frames),
    )
