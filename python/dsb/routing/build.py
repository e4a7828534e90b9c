"""Routers by name, as the configuration asks for them."""

from __future__ import annotations

from collections.abc import Callable

from dsb.config.schema import RouterConfig, SchedulerConfig
from dsb.errors import ConfigError
from dsb.registry import Registry
from dsb.routing.constant import Constant
from dsb.routing.router import Router
from dsb.routing.rule import load_rules
from dsb.routing.uncertainty import DEFAULT_THRESHOLD, S1Uncertainty

ROUTERS: Registry[Callable[[RouterConfig], Router]] = Registry(
    "router",
    "dsb.routers",
    {
        "always_s1": "dsb.routing.build:always_s1",
        "always_s2": "dsb.routing.build:always_s2",
        "rule": "dsb.routing.build:rule",
        "s1_uncertainty": "dsb.routing.build:s1_uncertainty",
    },
)


def always_s1(config: RouterConfig) -> Router:
    """S1 answers everything."""
    return Constant(config.name, "s1")


def always_s2(config: RouterConfig) -> Router:
    """S2 answers everything."""
    return Constant(config.name, "s2")


def rule(config: RouterConfig) -> Router:
    """Regular expressions from YAML."""
    return load_rules(config.rules, config.name)


def s1_uncertainty(config: RouterConfig) -> Router:
    """S2 where S1 is unsure."""
    threshold = DEFAULT_THRESHOLD if config.threshold is None else config.threshold
    return S1Uncertainty(config.name, threshold)


def build_router(config: RouterConfig) -> Router:
    """The router that `config` names. Raises `RegistryError` for an unknown name."""
    return ROUTERS.load(config.name)(config)


def build_routers(config: SchedulerConfig) -> list[Router]:
    """The deciding router first, then those to compare. Raises `ConfigError` when two share a name."""
    routers = [build_router(each) for each in (config.router, *config.compare)]
    names = [router.name for router in routers]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(
            f"system.scheduler: router {', '.join(doubled)} is listed twice (router and compare); list each once"
        )
    return routers
