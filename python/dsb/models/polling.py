"""Standing instructions by polling: at each tick the model is asked whether it is time to speak.

This is the general way to `watch` and `turn`. A backend whose model decides by itself brings its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dsb.benchmarks.item import YES_NO
from dsb.errors import ModelError
from dsb.models.backend import Reply, Request, Turn

if TYPE_CHECKING:
    from dsb.stream.view import StreamView

#: A tick with at least this probability of "yes" is reported as a wish to speak. Whoever wants another threshold
#: applies it to the score.
SPEAK_FROM = 0.5


class Polling:
    """The standing instructions of one conversation, polled through its `ask_many`."""

    def __init__(self, ask_many: Callable[[Sequence[Request]], list[Reply]]) -> None:
        self._ask_many = ask_many
        self._watched: dict[str, Request] = {}

    def watch(self, request: Request) -> None:
        """Poll `request` from now on. Its candidates are the wish to speak and silence; none means yes and no.

        Raises:
            ModelError: an instruction of this name is watched already, or there are not two candidates.
        """
        if request.query in self._watched:
            raise ModelError(f"the standing instruction {request.query!r} is watched already")
        candidates = request.candidates or YES_NO
        if len(candidates) != 2:
            raise ModelError(
                f"the standing instruction {request.query!r} needs two candidates (speak, be silent), "
                f"got {list(candidates)}"
            )
        self._watched[request.query] = replace(request, candidates=candidates)

    def turn(self, tick_ns: int, view: StreamView, queries: Sequence[str]) -> list[Turn]:
        """Ask all of `queries` at once. The score is the probability of the wish to speak.

        Raises:
            ModelError: one of `queries` is not watched.
        """
        unknown = [query for query in queries if query not in self._watched]
        if unknown:
            raise ModelError(f"no standing instruction {unknown[0]!r} is watched; call watch first")
        if not queries:
            return []
        requests = [replace(self._watched[query], t_ns=tick_ns, view=view) for query in queries]
        replies = self._ask_many(requests)
        return [_turn(request, reply) for request, reply in zip(requests, replies, strict=True)]


def _turn(request: Request, reply: Reply) -> Turn:
    if reply.candidate_logprobs is not None:
        score = math.exp(reply.candidate_logprobs[0])
    else:
        score = float(reply.text.strip().lower() == request.candidates[0].lower())
    return Turn(
        query=request.query,
        tick_ns=request.t_ns,
        action="speak" if score >= SPEAK_FROM else "silent",
        score=score,
        text=reply.text,
        reply=reply,
        processed_through=None if reply.frames is None else reply.frames[1],
    )
