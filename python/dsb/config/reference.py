"""Writes `configs/config.yaml`: every key with its default, its meaning and its values.

The text comes from the schema and nowhere else:

    python -m dsb.config.reference configs/config.yaml
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dsb.atomic import write_text
from dsb.config.fields import describe, element_of, section_of
from dsb.config.schema import RunConfig
from dsb.config.source import KeyPath, dotted

_WIDTH = 98

_HEADER = """\
# Every key of a configuration with its default. A file needs only the keys that it changes; any
# value can also be set on the command line: dsb run FILE -s video.fps=1/2
#
# Keys marked [operation] decide how a run is carried out. All others decide what it finds: they are
# part of the run's identity, and a run with other values is another run with another directory.
# Paths are relative to the working directory.
#
# Generated from the schema: python -m dsb.config.reference configs/config.yaml
"""


def reference_yaml() -> str:
    """The text of `configs/config.yaml`; loading it gives the default configuration."""
    return _HEADER + "\n".join(_section(RunConfig(), (), {})) + "\n"


def _section(section: BaseModel, path: KeyPath, shown: dict[type, str]) -> Iterator[str]:
    shown.setdefault(type(section), dotted(path))
    indent = "  " * len(path)
    for name, info in type(section).model_fields.items():
        here = (*path, name)
        value = getattr(section, name)
        if not path:
            yield ""
        yield from _comment(_explanation(info), indent)
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _section(value, here, shown)
        else:
            yield f"{indent}{name}: {_scalar(value)}{_values(info, shown)}"
            yield from _optional_section(info, here, shown)


def _optional_section(info: FieldInfo, path: KeyPath, shown: dict[type, str]) -> Iterator[str]:
    """The keys of a section that is absent by default, commented out, unless shown before."""
    section = section_of(info.annotation)
    if section is None or section in shown:
        return
    indent = "  " * (len(path) - 1)
    yield f"{indent}# {path[-1]}:"
    for line in _section(section(), path, shown):
        yield f"{indent}# {line.removeprefix(indent)}"


def _explanation(info: FieldInfo) -> str:
    section = section_of(info.annotation)
    text = info.description or (section.__doc__ if section else "") or ""
    return " ".join(text.split())


def _values(info: FieldInfo, shown: dict[type, str]) -> str:
    """What the key takes, as a comment behind it; nothing where the default says it all."""
    section, element = section_of(info.annotation), section_of(element_of(info.annotation))
    if element in shown:
        text = f"a list, each with the keys of {shown[element]}"
    elif section is not None:
        text = (
            f"the keys of {shown[section]}, or null" if section in shown else "a section, or null"
        )
    else:
        text = describe(info.annotation, info.metadata)
    words = [] if text in ("text", "true or false") else [text]
    extra = info.json_schema_extra
    if isinstance(extra, dict) and extra.get("operation"):
        words.append("[operation]")
    return "  # " + " ".join(words) if words else ""


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - len(indent) - 2, break_on_hyphens=False):
        yield f"{indent}# {line}"


def _scalar(value: object) -> str:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return str(text).removesuffix("...\n").strip()


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), reference_yaml())
