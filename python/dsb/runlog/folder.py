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

from dsb.atomic import sync_folder, write_json, write_text
from dsb.benchmarks.item import Item, dump_items
from dsb.config.load import LoadedConfig
from dsb.config.schema import RunConfig
from dsb.errors import RunError
from dsb.runlog.log import segments

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

    def read_manifest(self) -> dict[str, Any]:
        """What `prepare` wrote. Raises `RunError` if it is missing or damaged."""
        return read_manifest(self.path)

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
        known = self.read_manifest()
        if known.get("identity") != manifest.get("identity"):
            raise RunError(
                f"{self.path} holds a run of identity {known.get('identity')}, this one is "
                f"{manifest.get('identity')}; choose another `output.name` or `output.dir`"
            )
        launches = [*known.get("launches", []), _launch()]
        write_json(self.path / MANIFEST, {**known, "launches": launches})


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """The manifest of a run. Raises `RunError` if the folder holds none or a damaged one."""
    path = run_dir / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(
            f"{run_dir} holds no run ({path.name}: {error.strerror}); name a folder that "
            "`dsb run` wrote"
        ) from error
    except ValueError as error:
        raise RunError(
            f"{path} is damaged ({error}); restore it, or run again with `--fresh`"
        ) from error
    if not isinstance(manifest, dict):
        raise RunError(f"{path} is damaged (no object); restore it, or run again with `--fresh`")
    return manifest


def has_log(run_dir: Path) -> bool:
    """Whether anything was logged in this folder."""
    return any(path.stat().st_size for path in segments(run_dir))


def _launch() -> dict[str, Any]:
    return {
        "id": secrets.token_hex(4),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
