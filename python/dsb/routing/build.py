"""Routers by name, as the configuration asks for them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from dsb.config.fields import describe
from dsb.config.schema import RouterConfig, RunConfig, SchedulerConfig, Section
from dsb.config.source import KeyPath, dotted
from dsb.errors import ConfigError, RegistryError
from dsb.registry import Registry
from dsb.routing.router import AnyKind, Router, RouterKind

_ROUTERS = "dsb.routing.routers"

ROUTERS: Registry[AnyKind] = Registry(
    "router",
    "dsb.routers",
    {
        "always_s1": f"{_ROUTERS}.constant:ALWAYS_S1",
        "always_s2": f"{_ROUTERS}.constant:ALWAYS_S2",
        "rule": f"{_ROUTERS}.rule:RULE",
        "s1_uncertainty": f"{_ROUTERS}.uncertainty:S1_UNCERTAINTY",
    },
    holds=RouterKind,
)


def build_router(config: RouterConfig) -> Router:
    """The router that `config` describes.

    Raises:
        RegistryError: no router has this name.
        ConfigError: its settings are wrong, or a file that they name.
    """
    kind = ROUTERS.load(config.name)
    try:
        settings = kind.settings.model_validate(config.settings)
    except ValidationError as error:
        path, reason = next(_setting_problems(error, kind.settings, config.name))
        raise ConfigError(f"router {config.called!r}: settings.{dotted(path)}: {reason}") from None
    return kind.make(config.called, settings)


def build_routers(config: SchedulerConfig) -> list[Router]:
    """The deciding router first, then those to compare. Raises as `build_router`."""
    return [build_router(each) for each in (config.router, *config.compare)]


def router_identities(
    config: SchedulerConfig, routers: Sequence[Router]
) -> list[dict[str, JsonValue]]:
    """Name, label and `Router.identity` of what `build_routers` made of `config`."""
    configured = (config.router, *config.compare)
    return [
        {"name": each.name, "label": router.label, **router.identity()}
        for each, router in zip(configured, routers, strict=True)
    ]


def router_problems(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    """Key and reason of every router that nobody knows and every setting that it does not take."""
    scheduler = config.system.scheduler
    at: KeyPath = ("system", "scheduler")
    places: list[tuple[KeyPath, RouterConfig]] = [((*at, "router"), scheduler.router)]
    places += [((*at, "compare", n), each) for n, each in enumerate(scheduler.compare)]
    for path, router in places:
        try:
            kind = ROUTERS.load(router.name)
            kind.settings.model_validate(router.settings)
        except RegistryError as error:
            yield (*path, "name"), str(error)
        except ValidationError as error:
            for inner, reason in _setting_problems(error, kind.settings, router.name):
                yield (*path, "settings", *inner), reason


def _setting_problems(
    error: ValidationError, section: type[Section], router: str
) -> Iterator[tuple[KeyPath, str]]:
    for detail in error.errors(include_url=False):
        yield detail["loc"], _reason(detail, section, router)


def _reason(detail: ErrorDetails, section: type[Section], router: str) -> str:
    fields, name = section.model_fields, str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, fields, n=1)
        known = f"it has {', '.join(fields)}" if fields else "it has none"
        return f"router {router!r} has no such setting; " + (
            f"did you mean {near[0]}?" if near else known
        )
    if name in fields and len(detail["loc"]) == 1:
        wanted = describe(fields[name].annotation, fields[name].metadata)
        return f"must be {wanted}, not {detail['input']!r}"
    return detail["msg"]
