"""What the routers of a session decided, on its way into the log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from dsb.evaluation.session.recorder import Recorder
from dsb.routing.decision import Decision
from dsb.routing.router import Router, S1Signals
from dsb.runlog.records import Route as RouteRecord
from dsb.systems.system import SystemAnswer


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
