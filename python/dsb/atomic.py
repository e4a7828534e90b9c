"""Files that are either the old content or the new one, whatever happens in between.

The data go to a temporary file in the same folder, are flushed to the disk, and take the final name
with one `rename`; then the folder is flushed so that the name survives a power cut too. A crash
leaves at most a hidden `.<name>.<random>.tmp` behind, never half a file under the final name.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that takes the name `path` when the block ends without an error.

    Missing parent folders are made. On an error the temporary file is removed and an existing
    `path` is left as it was.

    Raises:
        OSError: the folder is not writable or the disk is full.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name[:64]}.{secrets.token_hex(6)}.tmp"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the content of `path` by `data`, atomically."""
    with replacing(path) as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace the content of `path` by `text` in UTF-8, atomically, newlines as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], data: Any, *, indent: int | None = 2) -> None:
    """Replace the content of `path` by `data` as JSON, atomically.

    Raises:
        ValueError: `data` holds NaN or infinity, which JSON cannot express.
        TypeError: `data` holds something that is not JSON.
    """
    text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Flush the names of a folder to the disk, where the system can open folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
