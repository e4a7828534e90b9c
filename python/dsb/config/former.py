"""The `run.yaml` of earlier versions, read as this version would have written it.

Only what the program wrote itself is brought up to date; in a file that somebody wrote, a key of
former times is an error that names its new place.
"""

from __future__ import annotations

from typing import Any

#: Settings of routers that stood beside the router's name.
_OF_ROUTERS = ("threshold", "rules")


def brought_up_to_date(config: dict[str, Any]) -> dict[str, Any]:
    """The values of a resolved configuration, with moved keys in their new places."""
    scheduler = config.get("system", {}).get("scheduler")
    if scheduler is None:
        return config
    now = {
        **scheduler,
        "router": _router(scheduler.get("router", {})),
        "compare": [_router(each) for each in scheduler.get("compare", ())],
    }
    return {**config, "system": {**config["system"], "scheduler": now}}


def _router(router: dict[str, Any]) -> dict[str, Any]:
    if not any(key in router for key in _OF_ROUTERS):
        return router
    kept = {key: value for key, value in router.items() if key not in _OF_ROUTERS}
    # `null` meant the router's own default.
    moved = {key: router[key] for key in _OF_ROUTERS if router.get(key) is not None}
    return {**kept, "settings": {**router.get("settings", {}), **moved}}
