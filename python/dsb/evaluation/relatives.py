"""Runs of the same name and another identity: what a `--resume` that finds nothing has missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from dsb.errors import RunError
from dsb.runlog.folder import RunDir, read_manifest

#: Fields that are named; a run that differs in more is another experiment.
_NAMED = 3


def relatives(run: RunDir, fields: Mapping[str, Any]) -> Iterator[str]:
    """One line for each run beside `run` that shares its name: how it differs.

    `fields` are the identity fields of the run that does not exist yet.
    """
    name, _, _ = run.path.name.rpartition("-")
    for path in sorted(run.path.parent.glob(f"{name}-{'[0-9a-f]' * 8}")):
        with suppress(RunError):
            there = read_manifest(path).identity_fields
            yield f"{path} is another run: {_difference(there, fields)}"


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    changed = [
        f"{key} is {_text(there, key)} there and {_text(here, key)} here"
        for key in dict.fromkeys([*there, *here])
        if there.get(key) != here.get(key)
    ]
    if not changed:
        return "its data, models, routers, protocol or ffmpeg are others"
    more = len(changed) - _NAMED
    return "; ".join(changed[:_NAMED]) + (f"; and {more} more fields differ" if more > 0 else "")


def _text(fields: Mapping[str, Any], key: str) -> str:
    return repr(fields[key]) if key in fields else "not set"
