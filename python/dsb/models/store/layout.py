"""Where checkpoints lie: `model_cache/<owner>--<name>/`, and how `model.path` becomes a folder.

Nothing here asks the network. A folder is taken for a checkpoint when its manifest says that it is whole, or
when somebody put the files there by hand; a fetch that has not ended leaves `.partial/` and no manifest.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from dsb.errors import ModelNotFound
from dsb.models.store import manifest

#: Where a fetch keeps what it has until it has everything.
PARTIAL = ".partial"
DEFAULT_CACHE = "model_cache"

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
#: One of them stands in the root of every checkpoint; the second in those of sentence-transformers.
_ROOT_FILES = ("config.json", "modules.json")

State = Literal["fetched", "by hand", "incomplete", "absent"]


def cache_dir() -> Path:
    """The folder of all checkpoints: `DSB_MODEL_CACHE`, or `model_cache` in the working directory."""
    return Path(os.environ.get("DSB_MODEL_CACHE") or DEFAULT_CACHE).expanduser()


def is_hub_id(path: str) -> bool:
    """Whether `path` has the form `owner/name`."""
    return _HUB_ID.fullmatch(path) is not None


def folder_of(model_id: str) -> Path:
    """Where the copy of a hub id belongs."""
    return cache_dir() / model_id.replace("/", "--")


def state(folder: Path) -> State:
    """What `folder` is. Compares sizes with the manifest; reads no weights."""
    if manifest.whole(folder) is not None:
        return "fetched"
    begun = (folder / manifest.NAME).exists() or (folder / PARTIAL).exists()
    if not begun and any((folder / name).is_file() for name in _ROOT_FILES):
        return "by hand"
    return "incomplete" if begun else "absent"


def find(path: str, hub: str = "hf") -> Path:
    """The folder that `model.path` names: itself, or the local copy of a hub id.

    Raises:
        ModelNotFound: there is none, or its fetch has not ended; says what fetches it and where it goes.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        if state(folder) == "incomplete":
            raise ModelNotFound(_unfinished(folder))
        return folder
    if not is_hub_id(path):
        raise ModelNotFound(f"model.path={path!r}: no such folder, and not a hub id (owner/name)")
    folder = folder_of(path)
    found = state(folder)
    if found in ("fetched", "by hand"):
        return folder
    if found == "incomplete":
        raise ModelNotFound(_unfinished(folder, path, hub))
    raise ModelNotFound(
        f"model.path={path!r}: no such folder, and no copy in {folder}. Fetch it with: "
        f"{fetch_command(path, hub)}. {where_offline(path)}"
    )


def to_fetch(path: str) -> bool:
    """Whether `model.path` is a hub id without a usable copy here."""
    if Path(path).expanduser().is_dir() or not is_hub_id(path):
        return False
    return state(folder_of(path)) in ("incomplete", "absent")


def fetch_command(model_id: str, hub: str) -> str:
    """The command line that fetches `model_id`."""
    return f"dsb models fetch {model_id}" + ("" if hub == "hf" else f" --hub {hub}")


def where_offline(model_id: str) -> str:
    """What to do on a machine that cannot reach the hub."""
    return (
        "Without network: fetch it elsewhere and copy that folder, or the checkpoint's own files, to "
        f"{folder_of(model_id)} (DSB_MODEL_CACHE names another place for all models)"
    )


def _unfinished(folder: Path, model_id: str | None = None, hub: str = "hf") -> str:
    begun = manifest.read(folder)
    if begun is not None:
        model_id, hub = begun.id, begun.hub
        lost = manifest.missing(folder, begun)
        what = f"misses {', '.join(lost[:3])}" + (" and others" if len(lost) > 3 else "")
    else:
        what = "was not fetched to its end"
    command = fetch_command(model_id or "ID", hub)
    into = "" if model_id is not None and folder == folder_of(model_id) else f" --into {folder}"
    return f"the checkpoint in {folder} {what}; go on with: {command}{into}"
