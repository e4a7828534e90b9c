"""Reads YAML into plain data and remembers on which line every value stands.

The composer of PyYAML keeps positions, its constructor does not; so the node tree is walked here.
Keys are taken as written, because YAML 1.1 would read a key `on` as a truth value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from dsb.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Where a value stands in nested mappings and lists.
KeyPath = tuple[str | int, ...]

#: Of mappings and lists without an explicit tag.
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass
class Source:
    """Configuration values before validation."""

    #: Nested dicts, lists and scalars.
    values: dict[str, Any] = field(default_factory=dict)
    #: For every key that was set: `FILE:LINE`, or `-s`.
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> str | None:
        """Where the value at `path`, or the nearest value around it, was set; `None` if nowhere."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return None

    def set(self, path: KeyPath, value: object, origin: str) -> None:
        """Put a value at `path`; whatever stood at or below it is gone.

        Raises `ConfigError` if `path` leads through a scalar or past the end of a list.
        """
        here: Any = self.values
        for key in path[:-1]:
            here = _descend(here, key, path)
        _store(here, path[-1], value, path)
        for known in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[known]
        self._mark(path, value, origin)

    def _mark(self, path: KeyPath, value: object, origin: str) -> None:
        self.origins[path] = origin
        children: Iterable[tuple[str | int, object]] = ()
        if isinstance(value, dict):
            children = ((str(key), child) for key, child in value.items())
        elif isinstance(value, list):
            children = enumerate(value)
        for key, child in children:
            self._mark((*path, key), child, origin)


def read_yaml(path: Path) -> Source:
    """The values of a YAML file. Raises `ConfigError` naming file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file in UTF-8") from error
    source = Source()
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is not None:
            source.values = _Walk(loader, path, source.origins).top(root)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    return source


def parse_override(text: str) -> tuple[KeyPath, object]:
    """Split `system.s1.window.max_frames=4`; the value is read as YAML. Raises `ConfigError`."""
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"-s {text}: write -s key=value, for example -s video.fps=1/2")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"-s {text}: the value is not valid YAML; put it in quotes") from error
    return tuple(int(part) if part.isdecimal() else part for part in parts), parsed


def dotted(path: KeyPath) -> str:
    """`("system", "s1")` -> `system.s1`."""
    return ".".join(map(str, path))


class _Walk:
    """One pass over the node tree of a file."""

    def __init__(self, loader: yaml.SafeLoader, file: Path, origins: dict[KeyPath, str]) -> None:
        self._loader = loader
        self._file = file
        self._origins = origins
        self._open: set[int] = set()

    def top(self, node: yaml.Node) -> dict[str, Any]:
        value = self._value(node, ())
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ConfigError(
                f"{self._at(node)}: a configuration is a mapping of sections, "
                "such as `video:` with `fps: 1` below it"
            )
        return value

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._loader.construct_object(node)
        if node.tag not in _PLAIN_TAGS:
            place = f"{self._at(node)}: {dotted(path)}"
            raise ConfigError(f"{place}: the tag {node.tag} has no meaning here")
        if id(node) in self._open:
            raise ConfigError(f"{self._at(node)}: {dotted(path)} contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return self._sequence(node, path)
        finally:
            self._open.remove(id(node))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in values:
                first = self._origins[(*path, key)]
                raise ConfigError(
                    f"{self._at(key_node)}: {dotted((*path, key))} is already set at {first}"
                )
            self._origins[(*path, key)] = self._at(key_node)
            values[key] = self._value(value_node, (*path, key))
        return values

    def _sequence(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        values = []
        for index, item in enumerate(node.value):
            self._origins[(*path, index)] = self._at(item)
            values.append(self._value(item, (*path, index)))
        return values

    def _at(self, node: yaml.Node) -> str:
        return f"{self._file}:{node.start_mark.line + 1}"


def _descend(here: Any, key: str | int, path: KeyPath) -> Any:
    if isinstance(here, list) and isinstance(key, int) and key < len(here):
        return here[key]
    if isinstance(here, dict):
        if here.get(str(key)) is None:
            here[str(key)] = {}
        return here[str(key)]
    raise ConfigError(f"-s {dotted(path)}: there is nothing to override here")


def _store(here: Any, key: str | int, value: object, path: KeyPath) -> None:
    if isinstance(here, dict):
        here[str(key)] = value
    elif isinstance(here, list) and isinstance(key, int) and key < len(here):
        here[key] = value
    else:
        raise ConfigError(f"-s {dotted(path)}: there is nothing to override here")
