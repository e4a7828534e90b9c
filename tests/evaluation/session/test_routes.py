"""What routers see is logged whole, and how busy S2 is reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

import sessions
from dsb.evaluation.session.load import S2Queue
from dsb.evaluation.session.routes import hash_of_all
from dsb.models.certainty import Certainty
from dsb.routing.build import ROUTERS
from dsb.routing.features import RouteFeatures, S1Signals, Stage
from dsb.routing.router import Load, NoSettings, Route, RouterKind, RouteScore
from dsb.runlog.records import Features
from dsb.runlog.records import Route as RouteRecord
from sessions import instruction, make_config, play, some_questions
from videos import Video


@dataclass(frozen=True)
class Patient:
    """S2 unless somebody waits there already."""

    label: str
    stage: Stage = "before_s1"

    def identity(self) -> Mapping[str, JsonValue]:
        return {}

    def score(self, features: RouteFeatures) -> RouteScore:
        return RouteScore(1.0)

    def decide(self, score: RouteScore, load: Load) -> Route:
        return Route("s1" if load.s2_waiting else "s2", 0.5)


PATIENT = RouterKind(NoSettings, lambda label, _: Patient(label))
ROUTERS.register("patient", f"{__name__}:PATIENT", origin="a test")


def seen_by(record: Features, stage: Stage) -> list[RouteFeatures]:
    """What routers of a stage saw, from the log alone."""
    signals = [
        None
        if said is None
        else S1Signals(
            Certainty(said.confidence, said.margin, said.entropy), said.need_s2, said.text
        )
        for said in record.s1
    ]
    return [
        RouteFeatures(
            record.question,
            tuple(record.options),
            asked_ns / 1e9,
            record.standing,
            record.exchanges_before,
            said,
        ).at(stage)
        for asked_ns, said in zip(record.asked_ns, signals, strict=True)
    ]


@pytest.mark.parametrize("collect", ["both", "routed"])
def test_every_decision_can_be_scored_again_from_the_log(
    collect: str, data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    compare = [{"name": "rule"}, {"name": "s1_uncertainty", "label": "other"}]
    scheduler = {
        "router": {"name": "s1_uncertainty"},
        "compare": compare if collect == "both" else [],
    }
    config = make_config(data, system={"collect": collect, "scheduler": scheduler})
    items = [*some_questions(), instruction("w", 0.0, 4.0, "constant.mp4")]
    played = play(config, items, sessions.load_model(checkpoint, config), run_dir)
    features = {record.query: record for record in played.of(Features)}
    routes = played.of(RouteRecord)
    assert {route.router for route in routes} == (
        {"s1_uncertainty", "rule", "other"} if collect == "both" else {"s1_uncertainty"}
    )
    for route in routes:
        seen = seen_by(features[route.query], route.stage)
        assert len(seen) == len(route.actions)
        assert route.features_hash == hash_of_all([each.hash() for each in seen])
        if route.stage == "after_s1":
            assert all(each.s1 is not None for each in seen)
            assert route.scores == [
                1 - each.s1.certainty.confidence
                for each in seen
                if each.s1 is not None and each.s1.certainty.confidence is not None
            ]


def test_a_router_hears_how_busy_s2_is(
    data: Path, constant: Video, run_dir: Path, checkpoint: Path
) -> None:
    config = make_config(
        data, system={"collect": "routed", "scheduler": {"router": {"name": "patient"}}}
    )
    # All at one time: the first one is still at S2 when the others ask.
    items = [item.model_copy(update={"ask_time_s": 2.0}) for item in some_questions(3)]
    played = play(config, items, sessions.load_model(checkpoint, config), run_dir)
    routes = played.of(RouteRecord)
    assert [route.actions for route in routes] == [["s2"], ["s1"], ["s1"]]
    assert [route.s2_waiting for route in routes] == [[0], [1], [1]]
    assert routes[0].s2_backlog_s == [0.0]
    assert routes[1].s2_backlog_s[0] > 0


arrivals = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 30)), max_size=20)


@given(arrivals)
def test_the_queue_is_that_of_one_slot_first_come_first_served(
    pairs: list[tuple[int, int]],
) -> None:
    queue, answered = S2Queue(), []
    free_at = 0
    for t_ns, service_ns in sorted(pairs, key=lambda pair: pair[0]):
        waiting = [each for each in answered if each > t_ns]
        backlog_s = (max(waiting) - t_ns) / 1e9 if waiting else 0.0
        assert queue.load(t_ns) == Load(len(waiting), backlog_s)
        queue.send(t_ns, service_ns)
        free_at = max(free_at, t_ns) + service_ns
        answered.append(free_at)


def test_a_router_before_s1_sees_nothing_of_s1() -> None:
    features = RouteFeatures("?", (), 1.0, s1=S1Signals(Certainty(0.5), False, "red"))
    assert features.at("after_s1") is features
    assert features.at("before_s1") == replace(features, s1=None)
