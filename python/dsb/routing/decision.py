"""One decision of one router, with the configured fallback when it fails."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dsb.errors import RoutingError
from dsb.routing.features import features_hash
from dsb.routing.router import Action, Load, RouteFeatures, Router


@dataclass(frozen=True)
class Decision:
    """One decision of one router."""

    score: float
    action: Action
    threshold: float
    propensity: float
    reason: str
    fallback: bool
    features_hash: str
    service_ns: int


def decide(router: Router, features: RouteFeatures, fallback: Action) -> Decision:
    """Score and decide; a router that raises is replaced by `fallback`, which the decision says."""
    begun = time.perf_counter_ns()
    digest = features_hash(features)
    try:
        if router.stage == "after_s1" and features.s1 is None:
            raise RoutingError("S1 gave no answer")
        score = router.score(features)
        route = router.decide(score, Load())
    except Exception as error:  # noqa: BLE001 - a router never stands between a question and an answer
        reason = f"{type(error).__name__}: {error}"
        spent = time.perf_counter_ns() - begun
        return Decision(0.0, fallback, 0.0, 1.0, reason, True, digest, spent)
    return Decision(
        score.value,
        route.action,
        route.threshold,
        route.propensity,
        score.reason,
        False,
        digest,
        time.perf_counter_ns() - begun,
    )
