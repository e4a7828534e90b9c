"""How sure an answer is of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dsb.models.backend import Reply, Turn


@dataclass(frozen=True)
class Certainty:
    """What an answer says about itself; `None` where it does not say."""

    confidence: float | None = None
    """Probability that it gives to itself, in [0, 1]."""
    margin: float | None = None
    """Difference between the two likeliest candidates, in [0, 1]."""
    entropy: float | None = None
    """Shannon entropy over the candidates, in nats."""


def certainty_of_reply(reply: Reply) -> Certainty:
    """From the candidates where there are some, else from the generated tokens.

    Generated text is as sure as its least likely token: one weak token makes another answer.
    """
    if reply.candidate_logprobs:
        return of_distribution([math.exp(value) for value in reply.candidate_logprobs])
    if reply.token_logprobs:
        return Certainty(math.exp(min(reply.token_logprobs)))
    return Certainty()


def certainty_of_turn(turn: Turn) -> Certainty:
    """Of a yes-no decision at a tick."""
    return Certainty() if turn.score is None else of_distribution([turn.score, 1.0 - turn.score])


def of_distribution(probabilities: list[float]) -> Certainty:
    """Confidence, margin and entropy of a distribution over candidates."""
    ranked = sorted(probabilities, reverse=True)
    second = ranked[1] if len(ranked) > 1 else 0.0
    entropy = -sum(p * math.log(p) for p in ranked if p > 0)
    return Certainty(min(ranked[0], 1.0), ranked[0] - second, max(entropy, 0.0))
