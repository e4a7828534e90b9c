"""What a model hub does for us, and how it fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dsb.errors import ModelError, ModelNotFound
from dsb.models.store.layout import where_offline

#: Behind the name of a file that has not come to its end.
UNFINISHED = ".part"
Advance = Callable[[int], None]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository."""

    path: str
    #: In bytes.
    size: int
    #: SHA-256 as the hub says it, hex; `None` where it does not.
    sha256: str | None = None
    #: Name of the content in git, hex: SHA-1 of `blob `, its size, a zero byte and it. Small files have nothing else.
    blob: str | None = None


@dataclass(frozen=True)
class Listing:
    """A repository at one revision."""

    #: The commit; ModelScope says none, there it is the branch or tag.
    revision: str
    files: tuple[RemoteFile, ...]


class Hub(Protocol):
    """One hub."""

    def listing(self, model_id: str, revision: str | None) -> Listing:
        """What the repository holds at `revision` (branch, tag or commit; `None`: the hub's default).

        Raises:
            ModelNotFound: no such repository or revision, or not for us.
            ModelError: the hub cannot be reached.
        """

    def download(
        self,
        model_id: str,
        revision: str,
        files: Sequence[RemoteFile],
        folder: Path,
        advance: Advance,
    ) -> None:
        """Put `files` into `folder`, going on where an earlier call stopped.

        A file gets its own name when all its bytes are there. `advance` is told the bytes that have come since
        its last call, from any thread.

        Raises:
            ModelError: the line broke.
        """


def link(source: Path, target: Path) -> None:
    """Give a file, which nobody writes to, a second name; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def gated(model_id: str) -> ModelNotFound:
    """The error for a repository whose terms nobody has accepted."""
    return ModelNotFound(
        f"{model_id} is gated: accept its terms on the hub's page, then run `hf auth login` or set HF_TOKEN"
    )


def unreachable(model_id: str, hub: str, error: Exception) -> ModelError:
    """The error for a hub that does not answer."""
    return ModelError(
        f"{hub} cannot be reached for {model_id} ({reason(error)}). {where_offline(model_id)}"
    )


def broken(model_id: str, path: str, error: Exception) -> ModelError:
    """The error for a file that did not come to its end."""
    return ModelError(
        f"{path} of {model_id} did not come to its end ({reason(error)}); the same command goes on from there"
    )


def reason(error: Exception) -> str:
    """Class and first line of an error, not too long."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
