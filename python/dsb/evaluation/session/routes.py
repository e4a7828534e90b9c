"""What routers saw and decided in a session, on its way into the log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

from dsb.evaluation.session.recorder import Recorder
from dsb.routing.decision import Decision
from dsb.routing.features import RouteFeatures, S1Signals
from dsb.routing.router import Router
from dsb.runlog.records import Features, Route, S1Said
from dsb.stream.window import seconds_to_ns
from dsb.systems.system import SystemAnswer


def record_features(recorder: Recorder, query: str, seen: Sequence[RouteFeatures]) -> None:
    """Log what routers could see of one question, or of consecutive ticks of one instruction."""
    first = seen[0]
    recorder.write(
        Features,
        query=query,
        question=first.question,
        options=list(first.options),
        standing=first.standing,
        exchanges_before=first.exchanges_before,
        asked_ns=[seconds_to_ns(each.t_s) for each in seen],
        s1=[None if each.s1 is None else _said(each.s1) for each in seen],
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
        Route,
        query=query,
        router=router.label,
        stage=router.stage,
        ticks_ns=list(ticks_ns),
        scores=[each.score for each in decisions],
        actions=[each.action for each in decisions],
        threshold=last.threshold,
        propensity=last.propensity,
        features_hash=hash_of_all([each.features_hash for each in decisions]),
        s2_waiting=[each.load.s2_waiting for each in decisions],
        s2_backlog_s=[each.load.s2_backlog_s for each in decisions],
        fallback=failed is not None,
        reason=(failed or last).reason,
        service_ns=sum(each.service_ns for each in decisions),
    )


def hash_of_all(hashes: Sequence[str]) -> str:
    """One hash for the features of several ticks; that of a question is its own."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.blake2b("".join(hashes).encode(), digest_size=8).hexdigest()


def signals_of(answer: SystemAnswer | None) -> S1Signals | None:
    """What S1's answer tells a router; `None` when there is none."""
    return None if answer is None else S1Signals(answer.certainty, answer.need_s2, answer.text)


def _said(signals: S1Signals) -> S1Said:
    return S1Said(**asdict(signals.certainty), need_s2=signals.need_s2, text=signals.text)
