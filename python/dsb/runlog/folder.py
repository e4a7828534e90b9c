"""The folder of one run, `<output.dir>/<name>-<identity8>/`, and what is written into it once."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from dsb.atomic import sync_folder, write_json, write_text
from dsb.benchmarks.item import Item, dump_items, load_items
from dsb.config.former import brought_up_to_date
from dsb.config.load import LoadedConfig
from dsb.config.schema import RunConfig
from dsb.errors import BenchmarkError, RunError

#: Digits of an identity that are shown, and part of the folder's name.
SHORT = 8

CONFIG = "run.yaml"
MANIFEST = "manifest.json"
GOLD = "gold.json"


@dataclass(frozen=True)
class RunDir:
    """Paths of one run."""

    path: Path

    @classmethod
    def of(cls, config: RunConfig, identity: str) -> RunDir:
        """The folder that this run has or will have."""
        return cls(Path(config.output.dir) / f"{config.output.name}-{identity[:SHORT]}")

    @property
    def gold(self) -> Path:
        """The items with their answers; scorers read it, systems and routers never do."""
        return self.path / GOLD

    @property
    def exists(self) -> bool:
        """A run was begun here."""
        return (self.path / MANIFEST).is_file()

    def create(self) -> None:
        """Make the folder. Raises `RunError` where that is not allowed."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def prepare(
        self,
        loaded: LoadedConfig,
        manifest: Mapping[str, Any],
        items: Sequence[Item],
    ) -> None:
        """Write `run.yaml`, `gold.json` and `manifest.json`, the manifest last: with it the run
        exists.

        Raises:
            RunError: the folder cannot be written, or it holds a run of another identity.
        """
        try:
            if self.exists:
                self._note_launch(manifest)
                return
            text = yaml.safe_dump(
                {"config": loaded.config.model_dump(mode="json"), "origins": dict(loaded.origins)},
                sort_keys=False,
                allow_unicode=True,
            )
            write_text(self.path / CONFIG, text)
            dump_items(items, self.gold)
            write_json(self.path / MANIFEST, {**manifest, "launches": [_launch()]})
        except OSError as error:
            raise self._unwritable(error) from error

    def set_aside(self) -> Path | None:
        """Rename the folder so that the run can begin anew; returns the new path, `None` if there
        was nothing.
        """
        if not self.path.exists():
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.old-{number}")).exists():
            number += 1
        self.path.rename(aside)
        sync_folder(self.path.parent)
        return aside

    def _unwritable(self, error: OSError) -> RunError:
        return RunError(
            f"cannot write {self.path}: {error.strerror}; make room or choose another `output.dir`"
        )

    def _note_launch(self, manifest: Mapping[str, Any]) -> None:
        known = _read_json(self.path / MANIFEST)
        if known.get("identity") != manifest.get("identity"):
            raise RunError(
                f"{self.path} holds a run of identity {known.get('identity')}, this one is "
                f"{manifest.get('identity')}; choose another `output.name` or `output.dir`"
            )
        launches = [*known.get("launches", []), _launch()]
        write_json(self.path / MANIFEST, {**known, "launches": launches})


class SkippedItem(BaseModel):
    """An item that no session asks."""

    model_config = ConfigDict(frozen=True)

    id: str
    reason: str


class Manifest(BaseModel):
    """What programs read back of `manifest.json`; the rest of it is for people."""

    model_config = ConfigDict(frozen=True)

    #: The part of the identity that people see.
    identity_short: str
    #: Sessions that were planned.
    sessions: int
    skipped: tuple[SkippedItem, ...]
    #: System -> what its backend says of the model.
    models: Mapping[str, Mapping[str, Any]]
    #: Dotted key -> value of every field of the configuration that is part of the identity.
    identity_fields: Mapping[str, Any] = {}


def read_manifest(run_dir: Path) -> Manifest:
    """The manifest of a run. Raises `RunError` if the folder holds none or a damaged one."""
    path = run_dir / MANIFEST
    try:
        return Manifest.model_validate(_read_json(path))
    except ValidationError as error:
        raise _damaged(path, error) from error


def read_config(run_dir: Path) -> RunConfig:
    """The configuration that a run was begun with. Raises `RunError` as `read_manifest` does."""
    path = run_dir / CONFIG
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))["config"]
        return RunConfig.model_validate(brought_up_to_date(values))
    except OSError as error:
        raise _no_run(path, error) from error
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def read_gold(run_dir: Path) -> list[Item]:
    """The items of a run with their answers. Raises `RunError` as `read_manifest` does."""
    path = run_dir / GOLD
    try:
        return load_items(path)
    except BenchmarkError as error:
        if isinstance(error.__cause__, OSError):
            raise _no_run(path, error.__cause__) from error
        raise _damaged(path, error) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _no_run(path, error) from error
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise _damaged(path, "no object")
    return content


def _no_run(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path.parent} holds no run ({path.name}: {error.strerror}); name a folder that "
        "`dsb run` wrote"
    )


def _damaged(path: Path, reason: object) -> RunError:
    return RunError(f"{path} is damaged ({reason}); restore it, or run again with `--fresh`")


def _launch() -> dict[str, Any]:
    return {
        "id": secrets.token_hex(4),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
