"""Turns what is wrong with a configuration into lines that say where, what and what instead."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from dsb.config.fields import admits, all_keys, describe, element_of, field_at, section_at
from dsb.config.schema import RunConfig
from dsb.config.source import KeyPath, Source, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


def from_validation(error: ValidationError, source: Source) -> list[str]:
    """One line for everything that pydantic found."""
    return [_line(detail, source) for detail in error.errors(include_url=False)]


def truth_values_as_numbers(source: Source) -> list[str]:
    """Truth values where the schema wants a number: pydantic would quietly read `true` as 1."""
    lines = []
    for path, value in _leaves(source.values, ()):
        info = field_at(path)
        if isinstance(value, bool) and info is not None and not admits(info.annotation, bool):
            wanted = describe(info.annotation, info.metadata)
            shown = str(value).lower()
            lines.append(at(source, path, f"{dotted(path)} must be {wanted}, not {shown}"))
    return lines


def at(source: Source, path: KeyPath, text: str) -> str:
    """`text` behind the place where the value at `path` was set."""
    place = source.origin(path)
    if place is None:
        return text
    return f"{place} {text}" if place == "-s" else f"{place}: {text}"


def _line(detail: ErrorDetails, source: Source) -> str:
    path: KeyPath = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return at(source, path, f"{dotted(path)} is not a known key; {_instead(path)}")
    info = field_at(path)
    if info is None:
        return at(source, path, f"{dotted(path)}: {detail['msg']}")
    wanted = describe(info.annotation, info.metadata)
    text = f"{dotted(path)} must be {wanted}, not {detail['input']!r}"
    if detail["type"] == "string_type":
        text += "; put it in quotes"
    return at(source, path, text)


def _instead(path: KeyPath) -> str:
    section = section_at(path[:-1])
    siblings = list(section.model_fields) if section is not None else []
    name = str(path[-1])
    near = difflib.get_close_matches(name, siblings, n=1, cutoff=0.6)
    if near:
        return f"did you mean {dotted((*path[:-1], near[0]))}?"
    if "settings" in siblings:
        return f"what belongs to one {path[-2]} alone stands in {dotted((*path[:-1], 'settings'))}"
    elsewhere = [dotted(key) for key in all_keys(RunConfig) if key[-1] == name]
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere[:3])}?"
    far = difflib.get_close_matches(name, {str(key[-1]) for key in all_keys()}, n=1, cutoff=0.75)
    if far:
        owner = next(dotted(key) for key in all_keys() if key[-1] == far[0])
        return f"did you mean {owner}?"
    return f"{dotted(path[:-1]) or 'a configuration'} has {', '.join(siblings)}"


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    children: Iterable[tuple[str | int, Any]]
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        info = field_at(path)
        if info is None or element_of(info.annotation) is None:
            return
        children = enumerate(value)
    else:
        yield path, value
        return
    for key, child in children:
        yield from _leaves(child, (*path, key))
