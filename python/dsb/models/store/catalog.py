"""What is in the model cache."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dsb.errors import ModelError
from dsb.models.local.checkpoint.folder import check_weights
from dsb.models.local.families import backend_of
from dsb.models.store import layout, manifest


@dataclass(frozen=True)
class Entry:
    """One folder of the model cache."""

    id: str
    folder: str
    #: `hf` or `modelscope`; `None` for files that were put there by hand.
    hub: str | None
    revision: str | None
    #: Model type of its configuration.
    family: str | None
    #: The backend that runs it; `None` for encoders and unknown families.
    backend: str | None
    #: Bytes of its files, unfinished ones included.
    size: int
    complete: bool
    #: Why it is not complete.
    problems: tuple[str, ...] = ()


def entries(cache: Path) -> list[Entry]:
    """Every checkpoint below `cache`, finished or not, by id. Compares sizes; reads no weights."""
    if not cache.is_dir():
        return []
    folders = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [_entry(folder) for folder in folders if layout.state(folder) != "absent"]
    return sorted(found, key=lambda each: each.id)


def model_type(folder: Path) -> str | None:
    """Model type in the configuration of `folder`, or of the first module of a sentence encoder."""
    for name in ("config.json", "0_Transformer/config.json"):
        try:
            kind = json.loads((folder / name).read_text(encoding="utf-8")).get("model_type")
        except (OSError, ValueError, AttributeError):
            continue
        return str(kind) if kind else None
    return None


def _entry(folder: Path) -> Entry:
    own = manifest.read(folder)
    kind = model_type(folder)
    problems = _problems(folder, own)
    return Entry(
        id=own.id if own else folder.name.replace("--", "/", 1),
        folder=str(folder),
        hub=own.hub if own else None,
        revision=own.revision if own else None,
        family=kind,
        backend=backend_of(kind) if kind else None,
        size=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        complete=not problems,
        problems=tuple(problems),
    )


def _problems(folder: Path, own: manifest.Manifest | None) -> list[str]:
    if own is not None:
        return [f"{path} is missing or has another size" for path in manifest.missing(folder, own)]
    if layout.state(folder) == "incomplete":
        return ["its fetch has not ended"]
    try:
        check_weights(folder)
    except ModelError as error:
        return [str(error)]
    return []
