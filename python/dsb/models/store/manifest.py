"""What a fetched folder holds: `manifest.json`, written last, so that a folder with a sound one is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from dsb import atomic
from dsb.errors import ModelError

NAME = "manifest.json"
_FORMAT = "dsb-model/1"
_BLOCK = 1 << 22


@dataclass(frozen=True)
class FileEntry:
    """One file of a checkpoint."""

    #: Relative to the folder, with `/`.
    path: str
    #: In bytes.
    size: int
    #: SHA-256 of the content, hex.
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Where the files of a folder come from and what they are."""

    #: `hf` or `modelscope`.
    hub: str
    #: Owner and name on the hub.
    id: str
    #: The commit; ModelScope says none, there it is the branch or tag.
    revision: str
    #: When the fetch was finished: UTC, ISO 8601.
    fetched: str
    files: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(each.size for each in self.files)


def read(folder: Path) -> Manifest | None:
    """The manifest of `folder`; `None` if it has none, or one that is not ours."""
    try:
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT:
            return None
        files = tuple(FileEntry(**each) for each in content.pop("files"))
        return Manifest(files=files, **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write(folder: Path, manifest: Manifest) -> None:
    """Declare `folder` whole. Its files are on the disk already, under their final names."""
    atomic.write_json(folder / NAME, {"format": _FORMAT, **asdict(manifest)})


def missing(folder: Path, manifest: Manifest) -> list[str]:
    """Paths of files that are not there or have another size. Reads no content."""
    return [each.path for each in manifest.files if _size(folder / each.path) != each.size]


def damaged(
    folder: Path, manifest: Manifest, advance: Callable[[int], None] = lambda _: None
) -> list[str]:
    """Paths of files that are not there or have another content. Reads every byte.

    `advance` is told the bytes that were read since its last call.
    """
    gone = set(missing(folder, manifest))
    return [
        each.path
        for each in manifest.files
        if each.path in gone or sha256(folder / each.path, advance) != each.sha256
    ]


def whole(folder: Path) -> Manifest | None:
    """The manifest of a completely fetched folder, by the sizes of its files; else `None`."""
    manifest = read(folder)
    return manifest if manifest is not None and not missing(folder, manifest) else None


def entries(
    folder: Path, paths: Iterable[str], advance: Callable[[int], None] = lambda _: None
) -> tuple[FileEntry, ...]:
    """Sizes and hashes of the files `paths` in `folder`.

    Raises:
        ModelError: a file is not there.
    """
    try:
        return tuple(
            FileEntry(path, (folder / path).stat().st_size, sha256(folder / path, advance))
            for path in sorted(paths)
        )
    except FileNotFoundError as error:
        raise ModelError(f"the hub did not deliver {error.filename}") from error


def sha256(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """SHA-256 of a file's content, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def git_blob(path: Path) -> str:
    """The name that git gives to a file's content, hex: SHA-1 of `blob `, its size, a zero byte and it."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
