"""How sure a reply is of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsb.models.backend import Reply, Turn


@dataclass(frozen=True)
class Certainty:
    """Confidence in [0, 1], margin in [0, 1], entropy in nats; `None` where the reply does not say."""

    confidence: float | None
    margin: float | None
    entropy: float | None


def certainty(reply: Reply) -> Certainty:
    """From the candidates where there are some, else from the generated tokens.

    Generated text is as sure as its least likely token: one weak token makes another answer.
    """
    if reply.candidate_logprobs:
        return of_distribution([math.exp(value) for value in reply.candidate_logprobs])
    if reply.token_logprobs:
        return Certainty(math.exp(min(reply.token_logprobs)), None, None)
    return Certainty(None, None, None)


def of_distribution(probabilities: list[float]) -> Certainty:
    """Confidence, margin and entropy of a distribution over candidates."""
    ranked = sorted(probabilities, reverse=True)
    second = ranked[1] if len(ranked) > 1 else 0.0
    entropy = -sum(p * math.log(p) for p in ranked if p > 0)
    return Certainty(min(ranked[0], 1.0), ranked[0] - second, max(entropy, 0.0))


def of_turn(turn: Turn) -> Certainty:
    """Of a yes-no decision at a tick."""
    if turn.score is None:
        return Certainty(None, None, None)
    return of_distribution([turn.score, 1.0 - turn.score])
