"""One system watching one stream through a local model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from dsb.errors import ModelError
from dsb.models.backend import (
    Abilities,
    Receipt,
    Reply,
    Request,
    StreamSpec,
    Timing,
    Turn,
    Usage,
)
from dsb.models.digest import InputDigest
from dsb.models.local.engine.answering import Answering, Ask, Outcome, Timeline
from dsb.models.local.engine.failures import typed_failures
from dsb.models.local.engine.grammar import Grammars, Matcher
from dsb.models.local.engine.prefill import Prefill, ReadyContext
from dsb.models.local.engine.shared import Session
from dsb.models.local.engine.tree import TokenTree
from dsb.models.local.families.chat import ChatFormat, Prompt
from dsb.models.local.families.family import Family
from dsb.models.local.families.tokens import PatchGrid
from dsb.models.polling import Polling

if TYPE_CHECKING:
    from dsb._core import Window
    from dsb.stream.view import StreamView


class LocalConversation:
    """Answers questions about what its window holds; a question leaves no trace."""

    def __init__(
        self,
        family: Family,
        chat: ChatFormat,
        grid: PatchGrid,
        spec: StreamSpec,
        prefill: Prefill,
        session: Session,
        grammars: Grammars,
    ) -> None:
        self.abilities = Abilities(
            question="fork", logprobs=True, needs_window=prefill.reads_pixels, receipt="processed"
        )
        self._family = family
        self._chat = chat
        self._grid = grid
        self._spec = spec
        self._prefill = prefill
        self._session = session
        self._grammars = grammars
        self._polling = Polling(self.ask_many)
        self._digest = InputDigest(spec)
        self._observed: int | None = None
        self._closed = False

    def observe(self, window: Window) -> Receipt:
        """Take new frames; every patch that they complete is encoded now, and read where `reuse` says so.

        Raises:
            ModelError: frames are missing before these, or the model failed; the same call may be made again.
        """
        self._check_open()
        if len(window):
            with typed_failures("reading frames", self._remedy), torch.inference_mode():
                self._digest.observe(window)
                self._prefill.observe(window)
            self._observed = window.ids[-1]
        return Receipt(self._observed, self._prefill.processed_through)

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
        with (
            typed_failures(f"answering {requests[0].query!r}", self._remedy),
            torch.inference_mode(),
        ):
            prompts = [self._chat.prompt(request.messages) for request in requests]
            replies: dict[int, Reply] = {}
            # Requests with different system prompts have no common header.
            for header in dict.fromkeys(prompt.head for prompt in prompts):
                members = [i for i, prompt in enumerate(prompts) if prompt.head == header]
                together = self._answer(
                    [requests[i] for i in members], [prompts[i] for i in members]
                )
                replies.update(zip(members, together, strict=True))
        return [replies[i] for i in range(len(requests))]

    def _answer(self, requests: Sequence[Request], prompts: Sequence[Prompt]) -> list[Reply]:
        """Requests of one time with one header."""
        counters = self._session.counters
        begun, encoded = time.perf_counter_ns(), counters.encode_ns
        counted = counters.model_ns
        # Before anything is read: a request that cannot be asked must not leave a context half read.
        asks = [self._as_ask(*each) for each in zip(requests, prompts, strict=True)]
        ready = self._prefill.prepare(prompts[0].head, requests[0].view)
        context = ready.context
        try:
            with TokenTree.grown(
                context.forward, context.arena, ready.visible, ready.unread
            ) as tree:
                read = time.perf_counter_ns()
                tokens, tail = context.ending(ready.provisional)
                answering = Answering(self._family, self._chat, tree, tail)
                outcomes, timeline = answering.run(asks, tokens)
        # An interrupt, too, must not leave a context that counts as read what is not there.
        except BaseException:
            if ready.unread is not None:
                context.clear()
            raise
        encode_ns = counters.encode_ns - encoded
        timing = _timing(begun, read, encode_ns, timeline)
        counters.model_calls += 1
        # The prefill has counted the patches that were waiting; they are a part of this call's prefill too.
        counters.model_ns = counted + timing.prefill_ns + timing.decode_ns
        counters.tokens_computed += tree.computed
        return [
            _reply(
                request,
                ready,
                outcome,
                self._usage(
                    prompt, ready, outcome, 0 if tokens is None else len(tokens), place > 0
                ),
                timing,
                self._digest.input_hash(request, ready.frames),
            )
            for place, (request, prompt, outcome) in enumerate(
                zip(requests, prompts, outcomes, strict=True)
            )
        ]

    def watch(self, request: Request) -> None:
        """Poll a standing instruction at every tick from now on."""
        self._check_open()
        self._polling.watch(request)

    def turn(self, tick_ns: int, view: StreamView, queries: Sequence[str]) -> list[Turn]:
        """Poll these standing instructions, all in the same forward."""
        self._check_open()
        return self._polling.turn(tick_ns, view, queries)

    def close(self) -> None:
        """Let go of the session's encoded frames, with its last conversation."""
        self._check_open()
        self._closed = True
        self._session.conversations -= 1
        if self._session.conversations == 0:
            self._session.caches.clear()
            self._session.prefills.clear()

    @property
    def _remedy(self) -> str:
        """What helps against a lack of memory."""
        window, name = self._spec.window, self._spec.system
        if window is None or window.max_frames == 1:
            return "use smaller frames or another dtype"
        return (
            f"half the window may fit: set system.{name}.window.max_frames={window.max_frames // 2}, "
            "or use smaller frames or another dtype"
        )

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError(f"the conversation of {self._spec.system} is closed; open another one")

    def _as_ask(self, request: Request, prompt: Prompt) -> Ask:
        candidates = self._chat.candidates(prompt.tail_text, request.candidates)
        return Ask(prompt.tail, candidates, request.generation, self._matcher(request))

    def _matcher(self, request: Request) -> Matcher | None:
        schema = request.generation.schema
        if schema is None or request.candidates or self._grammars.obstacle is not None:
            return None
        return self._grammars.matcher(schema)

    def _usage(
        self, prompt: Prompt, ready: ReadyContext, outcome: Outcome, provisional: int, shared: bool
    ) -> Usage:
        """`provisional` tokens were read with the questions; for one that is not the first they are `shared`."""
        context = ready.tokens + provisional
        return Usage(
            input_tokens=context + len(self._family.closing()) + len(prompt.tail),
            visual_tokens=ready.patches * self._grid.tokens,
            cached_tokens=context if shared else ready.cached,
            output_tokens=len(outcome.ids),
        )


def _timing(begun: int, read: int, encode_ns: int, timeline: Timeline) -> Timing:
    return Timing(
        service_ns=time.perf_counter_ns() - begun,
        ttft_ns=read - begun + timeline.first_ns,
        encode_ns=encode_ns,
        prefill_ns=read - begun - encode_ns + timeline.prefill_ns,
        decode_ns=timeline.decode_ns,
    )


def _reply(
    request: Request,
    ready: ReadyContext,
    outcome: Outcome,
    usage: Usage,
    timing: Timing,
    input_hash: str,
) -> Reply:
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
        frames=ready.frames,
        visible_until_ns=ready.visible_until_ns,
        input_hash=input_hash,
    )
