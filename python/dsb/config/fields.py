"""What the schema says about a dotted key: does it exist, and which values does it take."""

from __future__ import annotations

import types
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dsb.config.schema import RunConfig
from dsb.config.source import KeyPath


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation such as `SynthConfig | None` admits; `None` without one."""
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def element_of(annotation: Any) -> Any:
    """The annotation of the elements of a `tuple[X, ...]`; `None` for anything else."""
    for option in _options(annotation):
        if get_origin(option) is tuple:
            return get_args(option)[0]
    return None


def admits(annotation: Any, kind: type) -> bool:
    """Whether the annotation names `kind` itself (pydantic also takes a `bool` for an `int`)."""
    return any(option is kind for option in _options(annotation))


def field_at(path: KeyPath) -> FieldInfo | None:
    """The field behind a key path; `None` if there is none."""
    section: type[BaseModel] | None = RunConfig
    found: FieldInfo | None = None
    for key in path:
        if isinstance(key, int):
            element = element_of(found.annotation) if found else None
            section = section_of(element)
            found = FieldInfo(annotation=element) if element is not None else None
        elif section is None or key not in section.model_fields:
            return None
        else:
            found = section.model_fields[key]
            section = section_of(found.annotation)
    return found


def section_at(path: KeyPath) -> type[BaseModel] | None:
    """The section behind a key path."""
    if not path:
        return RunConfig
    found = field_at(path)
    return section_of(found.annotation) if found else None


def all_keys(section: type[BaseModel] = RunConfig, prefix: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key path of the schema, sections before what they hold."""
    for name, info in section.model_fields.items():
        yield (*prefix, name)
        inner = section_of(info.annotation)
        if inner is not None:
            yield from all_keys(inner, (*prefix, name))


def describe(annotation: Any, metadata: list[Any] | None = None) -> str:
    """The admitted values in words: `a whole number >= 1, or null`."""
    options = _options(annotation)
    words = [
        _describe_one(option, metadata or []) for option in options if option is not type(None)
    ]
    if type(None) in options:
        words.append("or null")
    return ", ".join(words)


def _describe_one(option: Any, metadata: list[Any]) -> str:
    if get_origin(option) is Annotated:
        inner, *extra = get_args(option)
        return _describe_one(inner, [*metadata, *extra])
    if get_origin(option) is Literal:
        values = [str(value) for value in get_args(option)]
        return "one of " + ", ".join(values) if len(values) > 1 else values[0]
    if get_origin(option) is tuple:
        return f"a list, each {describe(get_args(option)[0])}"
    if isinstance(option, type) and issubclass(option, BaseModel):
        return "a section with " + ", ".join(option.model_fields)
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        Fraction: "a number or fraction such as 1/2,",
    }
    return names.get(option, str(option)) + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    words = []
    for rule in _flat(metadata):
        match rule:
            case Ge():
                words.append(f">= {rule.ge}")
            case Gt():
                words.append(f"> {rule.gt}")
            case Le():
                words.append(f"<= {rule.le}")
            case Lt():
                words.append(f"< {rule.lt}")
    return (" " + " and ".join(words)) if words else ""


def _flat(metadata: list[Any]) -> Iterator[Any]:
    for rule in metadata:
        if isinstance(rule, FieldInfo):
            yield from _flat(rule.metadata)
        else:
            yield rule


def _options(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)
