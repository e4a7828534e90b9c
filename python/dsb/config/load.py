"""Loads a run's configuration: defaults < protocol < YAML file < overrides, every value with its origin.

Paths inside a configuration are relative to the working directory, not to the file, so that one
file serves several checkouts and data folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dsb.config import problems
from dsb.config.checks import contradictions
from dsb.config.fields import admits, field_at, section_of
from dsb.config.former import brought_up_to_date
from dsb.config.schema import DatasetConfig, RunConfig
from dsb.config.source import KeyPath, Source, dotted, parse_override, read_yaml
from dsb.errors import ConfigError, RegistryError

#: (`dataset.format`, `dataset.protocol`) -> dotted key -> value that this protocol sets.
Protocols = Callable[[str, str], Mapping[str, Any]]

#: Key and reason of everything in a valid configuration that makes no run.
Check = Callable[[RunConfig], Iterable[tuple[KeyPath, str]]]

#: Configurations that the package brings along: `dsb run quickstart` needs no file.
PACKAGED = Path(__file__).parent.parent / "configs"


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration and where each of its values comes from."""

    config: RunConfig
    #: Per dotted key: `default`, `protocol:NAME`, `FILE:LINE` or `-s`.
    origins: dict[str, str]


def load_config(
    path: Path | str,
    overrides: Sequence[str] = (),
    protocols: Protocols | None = None,
    check: Check = contradictions,
) -> LoadedConfig:
    """Read a YAML file, or a packaged configuration by name, and apply overrides `key=value`.

    Later overrides win. `protocols` gives the layer below the file, `check` finds what the schema
    cannot know; whoever runs what is loaded takes
    `dsb.evaluation.configuration.load_run_config`, which knows every protocol and router.

    Raises `ConfigError` with one line for every problem, each naming file and line (or the
    override), key, admitted values and the nearest known key.
    """
    source, untouched = _of_a_run(read_yaml(find_config(path)))
    for text in overrides:
        key, value = parse_override(text)
        source.set(key, value, "-s")
    _drop_empty_sections(source.values, ())
    if protocols is not None:
        _add_protocol(source, protocols, untouched)
    return _validate(source, check)


def _validate(source: Source, check: Check) -> LoadedConfig:
    """Check values against the schema. Raises `ConfigError`."""
    found = problems.truth_values_as_numbers(source)
    try:
        config = RunConfig.model_validate(source.values)
    except ValidationError as error:
        raise _all_of(found + problems.from_validation(error, source)) from None
    found += [
        problems.at(source, path, f"{dotted(path)}: {reason}") for path, reason in check(config)
    ]
    if found:
        raise _all_of(found)
    origins = {dotted(path): source.origins.get(path, "default") for path in _leaves(config, ())}
    return LoadedConfig(config, origins)


def _add_protocol(source: Source, protocols: Protocols, untouched: Set[str]) -> None:
    """Put what the protocol of the benchmark sets below what the user set; `untouched` nobody set."""
    dataset = source.values.get("dataset", {})
    names = [
        dataset.get(key, DatasetConfig.model_fields[key].default) for key in ("format", "protocol")
    ]
    if not all(isinstance(name, str) for name in names):
        return  # validation will say so
    try:
        settings = protocols(*names)
    except RegistryError as error:
        text = f"dataset.format: {error}"
        raise ConfigError(problems.at(source, ("dataset", "format"), text)) from error
    except ConfigError as error:
        raise ConfigError(problems.at(source, ("dataset", "protocol"), str(error))) from error
    for key, value in settings.items():
        path = tuple(key.split("."))
        nobody_set = key in untouched and source.origin(path) != "-s"
        if nobody_set or not _holds(source.values, path):
            source.set(path, value, f"protocol:{names[1]}")


def _holds(values: Any, path: KeyPath) -> bool:
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def find_config(path: Path | str) -> Path:
    """The file behind a path or the name of a packaged configuration. Raises `ConfigError`."""
    file = Path(path)
    if file.is_file():
        return file
    packaged = sorted(known.stem for known in PACKAGED.glob("*.yaml"))
    if str(path) in packaged:
        return PACKAGED / f"{path}.yaml"
    kind = "is a folder, not a YAML file" if file.is_dir() else "there is no such file"
    raise ConfigError(
        f"{path}: {kind}. Give the path of a YAML file, or one of the configurations that the "
        f"package brings along: {', '.join(packaged)}"
    )


def _of_a_run(source: Source) -> tuple[Source, Set[str]]:
    """The configuration inside a run's own `run.yaml`, so that a run can be repeated from it; and
    the dotted keys that it holds although nobody had set them.

    What its protocol had set is left out: the protocol of the repetition may be another one.
    """
    if source.values.keys() != {"config", "origins"}:
        return source, frozenset()
    values, origins = source.values["config"], source.values["origins"]
    if not isinstance(values, dict) or not isinstance(origins, dict):
        raise ConfigError("a run.yaml holds two sections, config and origins; restore it")
    values = brought_up_to_date(values)
    for key, origin in origins.items():
        if str(origin).startswith("protocol:"):
            _remove(values, str(key).split("."))
    places = {path[1:]: place for path, place in source.origins.items() if path[0] == "config"}
    return Source(values, places), {key for key, origin in origins.items() if origin == "default"}


def _remove(values: Any, path: list[str]) -> None:
    for key in path[:-1]:
        values = values.get(key) if isinstance(values, dict) else None
    if isinstance(values, dict):
        values.pop(path[-1], None)


def _all_of(lines: list[str]) -> ConfigError:
    if len(lines) == 1:
        return ConfigError(lines[0])
    return ConfigError(f"{len(lines)} problems in the configuration:\n" + "\n".join(lines))


def _drop_empty_sections(values: dict[str, Any], path: KeyPath) -> None:
    """A section whose keys are all commented out reads as null; it means the defaults."""
    for key in list(values):
        info = field_at((*path, key))
        if info is None or section_of(info.annotation) is None:
            continue
        if values[key] is None and not admits(info.annotation, type(None)):
            del values[key]
        elif isinstance(values[key], dict):
            _drop_empty_sections(values[key], (*path, key))


def _leaves(value: object, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _leaves(getattr(value, name), (*path, name))
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    elif isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path
