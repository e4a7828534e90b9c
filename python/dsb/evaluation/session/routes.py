"""What the routers of a run decide, with the configured fallback when one fails."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dsb.errors import RoutingError
from dsb.evaluation.session.recorder import Recorder
from dsb.routing.features import features_hash
from dsb.routing.router import Action, Load, RouteFeatures, Router, S1Signals
from dsb.runlog.records import Route as RouteRecord
from dsb.systems.system import SystemAnswer


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


def record_route(
    recorder: Recorder,
    router: Router,
    query: str,
    decisions: Sequence[Decision],
    ticks_ns: Sequence[int] = (),
) -> None:
    """Log one decision about a question, or several about consecutive ticks of an instruction."""
    last = decisions[-1]
    failed = next((each for each in decisions if each.fallback), None)
    recorder.write(
        RouteRecord,
        query=query,
        router=router.name,
        stage=router.stage,
        ticks_ns=list(ticks_ns),
        scores=[each.score for each in decisions],
        actions=[each.action for each in decisions],
        threshold=last.threshold,
        propensity=last.propensity,
        features_hash=_joined([each.features_hash for each in decisions]),
        fallback=failed is not None,
        reason=(failed or last).reason,
        service_ns=sum(each.service_ns for each in decisions),
    )


def signals_of(answer: SystemAnswer | None) -> S1Signals | None:
    """What S1's answer tells a router; `None` when there is none."""
    if answer is None:
        return None
    return S1Signals(answer.confidence, answer.margin, answer.entropy, answer.need_s2, answer.text)


def _joined(hashes: Sequence[str]) -> str:
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.blake2b("".join(hashes).encode(), digest_size=8).hexdigest()
