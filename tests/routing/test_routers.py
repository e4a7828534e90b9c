"""Routers: what each decides, and that none can look where it must not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dsb.config.schema import RouterConfig, SchedulerConfig
from dsb.errors import ConfigError, RegistryError, RoutingError
from dsb.evaluation.configuration import load_run_config
from dsb.models.certainty import Certainty
from dsb.routing.build import build_router, build_routers
from dsb.routing.features import RouteFeatures, S1Signals
from dsb.routing.router import Load

NOW = RouteFeatures("What color is the star now?", (), 12.0, False, 0)
PAST = RouteFeatures("How many times did a star appear?", (), 12.0, False, 0)


def action(config: RouterConfig, features: RouteFeatures) -> str:
    router = build_router(config)
    return router.decide(router.score(features), Load()).action


def signals(confidence: float | None, *, need_s2: bool = False) -> S1Signals:
    return S1Signals(Certainty(confidence), need_s2, "red")


@pytest.mark.parametrize("features", [NOW, PAST])
def test_constant_routers_never_look(features: RouteFeatures) -> None:
    assert action(RouterConfig(name="always_s1"), features) == "s1"
    assert action(RouterConfig(name="always_s2"), features) == "s2"


def test_rule_sends_questions_about_the_past_to_s2_and_about_the_present_to_s1() -> None:
    assert action(RouterConfig(name="rule"), NOW) == "s1"
    assert action(RouterConfig(name="rule"), PAST) == "s2"


def test_the_first_matching_rule_decides(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "default: s2\nrules:\n- {pattern: star, route: s1}\n- {pattern: color, route: s2}\n"
    )
    config = RouterConfig(name="rule", settings={"rules": str(rules)})
    assert action(config, NOW) == "s1"
    assert action(config, dataclasses.replace(NOW, question="Where is it?")) == "s2"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rules: [{pattern: '(', route: s1}]", "rule 1"),
        ("rules: [{pattern: a, route: s3}]", "route"),
        ("rules: 3", "rules"),
        ("a: [", "rules.yaml"),
    ],
)
def test_a_wrong_rule_file_is_one_error_that_names_the_place(
    tmp_path: Path, text: str, named: str
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(text)
    with pytest.raises(ConfigError, match="rule file") as caught:
        build_router(RouterConfig(name="rule", settings={"rules": str(rules)}))
    assert named in str(caught.value)


def test_a_missing_rule_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        build_router(RouterConfig(name="rule", settings={"rules": "nowhere.yaml"}))


@pytest.mark.parametrize(
    ("confidence", "need_s2", "expected"),
    [(0.95, False, "s1"), (0.85, False, "s2"), (0.99, True, "s2")],
)
def test_s1_uncertainty_escalates_what_s1_is_unsure_of(
    confidence: float, need_s2: bool, expected: str
) -> None:
    features = dataclasses.replace(NOW, s1=signals(confidence, need_s2=need_s2))
    assert action(RouterConfig(name="s1_uncertainty"), features) == expected


def test_the_threshold_is_a_setting() -> None:
    features = dataclasses.replace(NOW, s1=signals(0.85))
    assert (
        action(RouterConfig(name="s1_uncertainty", settings={"threshold": 0.2}), features) == "s1"
    )


@pytest.mark.parametrize("s1", [None, signals(None)])
def test_s1_uncertainty_without_a_confidence_is_a_typed_error(s1: S1Signals | None) -> None:
    with pytest.raises(RoutingError, match="likelihood"):
        build_router(RouterConfig()).score(dataclasses.replace(NOW, s1=s1))


def test_one_router_appears_twice_under_two_labels() -> None:
    strict = RouterConfig(name="s1_uncertainty", label="strict", settings={"threshold": 0.5})
    routers = build_routers(SchedulerConfig(router=RouterConfig(), compare=(strict,)))
    assert [router.label for router in routers] == ["s1_uncertainty", "strict"]
    assert [router.identity() for router in routers] == [{"threshold": 0.1}, {"threshold": 0.5}]


def test_the_rules_themselves_are_the_identity_of_a_rule_file(tmp_path: Path) -> None:
    found = []
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("rules: [{pattern: 'how many', route: s2, reason: x}]")
        config = RouterConfig(name="rule", settings={"rules": str(tmp_path / name)})
        found.append(build_router(config).identity())
    assert found == [{"rules": [["how many", "s2"]], "default": "s1"}] * 2


@pytest.mark.parametrize(
    ("router", "problem"),
    [
        ("{name: rulez}", r"router\.name: no router is called 'rulez'; did you mean 'rule'\?"),
        (
            "{name: s1_uncertainty, settings: {treshold: 0.5}}",
            r"router\.settings\.treshold: router .* has no such setting; did you mean threshold\?",
        ),
        (
            "{name: s1_uncertainty, settings: {threshold: high}}",
            r"router\.settings\.threshold: must be a number >= 0 and <= 1, not 'high'",
        ),
        (
            "{name: always_s1, settings: {p: 1}}",
            r"router\.settings\.p: router 'always_s1' has no such setting; it has none",
        ),
        (
            "{name: s1_uncertainty, threshold: 0.5}",
            r"router\.threshold is not a known key; what belongs .* stands in .*router\.settings",
        ),
    ],
)
def test_a_wrong_setting_is_found_with_its_line_before_anything_is_loaded(
    tmp_path: Path, router: str, problem: str
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"system:\n  scheduler:\n    router: {router}\n")
    with pytest.raises(ConfigError, match=rf"run\.yaml:3: system\.scheduler\.{problem}"):
        load_run_config(file)


def test_a_setting_may_be_overridden_and_knows_where_it_was_set(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("system: {scheduler: {router: {settings: {threshold: 0.2}}}}\n")
    key = "system.scheduler.router.settings.threshold"
    assert load_run_config(file).origins[key] == f"{file}:1"
    loaded = load_run_config(file, [f"{key}=0.3"])
    assert loaded.config.system.scheduler.router.settings == {"threshold": 0.3}
    assert loaded.origins[key] == "-s"


def test_an_unknown_router_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(RegistryError, match="always_s1"):
        build_router(RouterConfig(name="allways_s1"))


def test_features_hold_neither_gold_nor_task_nor_video() -> None:
    names = {field.name for field in dataclasses.fields(RouteFeatures)}
    assert names == {"question", "options", "t_s", "standing", "exchanges_before", "s1"}


def test_equal_features_have_equal_hashes_and_different_ones_do_not() -> None:
    assert NOW.hash() == dataclasses.replace(NOW).hash()
    assert NOW.hash() != dataclasses.replace(NOW, t_s=13.0).hash()
    # Known value: the hash is part of the log format and must not depend on machine or process.
    assert NOW.hash() == "54788a8074481c35"
