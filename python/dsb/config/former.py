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
    system = config.get("system")
    scheduler = system.get("scheduler") if isinstance(system, dict) else None
    if not isinstance(system, dict) or not isinstance(scheduler, dict):
        # Nothing of ours; validation will say what is wrong with it.
        return config
    compare = scheduler.get("compare")
    now = dict(scheduler)
    if "router" in scheduler:
        now["router"] = _router(scheduler["router"])
    if isinstance(compare, list):
        now["compare"] = [_router(each) for each in compare]
    return {**config, "system": {**system, "scheduler": now}}


def _router(router: Any) -> Any:
    if not isinstance(router, dict) or not any(key in router for key in _OF_ROUTERS):
        return router
    kept = {key: value for key, value in router.items() if key not in _OF_ROUTERS}
    # `null` meant the router's own default.
    moved = {key: router[key] for key in _OF_ROUTERS if router.get(key) is not None}
    return {**kept, "settings": {**router.get("settings", {}), **moved}}
