"""One decision of one router, with the configured fallback when it fails."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dsb.errors import RoutingError
from dsb.routing.features import RouteFeatures
from dsb.routing.router import Action, Load, Router


@dataclass(frozen=True)
class Decision:
    """One decision of one router."""

    score: float
    action: Action
    threshold: float
    propensity: float
    reason: str
    fallback: bool
    #: Of the features that the router saw.
    features_hash: str
    load: Load
    service_ns: int


def decide(router: Router, features: RouteFeatures, load: Load, fallback: Action) -> Decision:
    """Score and decide; a router that raises is replaced by `fallback`, which the decision says.

    Of `features` the router sees what its stage allows.
    """
    begun = time.perf_counter_ns()
    seen = features.at(router.stage)
    digest = seen.hash()
    try:
        if router.stage == "after_s1" and seen.s1 is None:
            raise RoutingError("S1 gave no answer")
        score = router.score(seen)
        route = router.decide(score, load)
    except Exception as error:  # noqa: BLE001 - a router never stands between a question and an answer
        reason = f"{type(error).__name__}: {error}"
        spent = time.perf_counter_ns() - begun
        return Decision(0.0, fallback, 0.0, 1.0, reason, True, digest, load, spent)
    return Decision(
        score.value,
        route.action,
        route.threshold,
        route.propensity,
        score.reason,
        False,
        digest,
        load,
        time.perf_counter_ns() - begun,
    )
