"""The model hubs, through their own clients."""

from __future__ import annotations

import glob
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dsb.errors import MissingDependency, ModelError, ModelNotFound
from dsb.models.store.layout import where_offline

#: Behind the name of a file that has not come to its end.
UNFINISHED = ".part"
#: Bytes of one request. A stop loses less than this, and a fast line is not slowed by asking.
_PIECE = 16 << 20

Advance = Callable[[int], None]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository."""

    path: str
    #: In bytes.
    size: int
    #: SHA-256 as the hub says it, hex; `None` where it does not.
    sha256: str | None = None


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
        its last call.

        Raises:
            ModelError: the line broke.
        """


def open_hub(name: str) -> Hub:
    """The hub called `hf` or `modelscope`. Raises `MissingDependency`."""
    return HuggingFace() if name == "hf" else ModelScope()


class HuggingFace:
    """huggingface.co, or what HF_ENDPOINT names, with the token of `hf auth login` or HF_TOKEN."""

    def __init__(self) -> None:
        import huggingface_hub
        from huggingface_hub import errors

        self._client: Any = huggingface_hub
        self._errors: Any = errors
        # The client reads the variable when it is imported, which may have been earlier.
        self._endpoint = os.environ.get("HF_ENDPOINT") or None

    def listing(self, model_id: str, revision: str | None) -> Listing:
        """See `Hub`."""
        errors = self._errors
        try:
            info = self._client.HfApi(endpoint=self._endpoint).model_info(
                model_id, revision=revision, files_metadata=True, timeout=10
            )
        except errors.GatedRepoError as error:
            raise ModelNotFound(
                f"{model_id} is gated: accept its terms on the hub's page, then run `hf auth login` or set HF_TOKEN"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise ModelNotFound(f"{model_id} has no revision {revision!r} on the hub") from error
        except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
            raise ModelNotFound(
                f"the hub knows no model {model_id}, or it is private: check the spelling (owner/name), or run "
                "`hf auth login` or set HF_TOKEN"
            ) from error
        # The client raises errors of its own, of the HTTP library that it is built on, and of the OS.
        except Exception as error:
            raise unreachable(model_id, "the Hugging Face hub", error) from error
        files = tuple(
            RemoteFile(each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else None)
            for each in info.siblings or ()
        )
        return Listing(info.sha, files)

    def download(
        self,
        model_id: str,
        revision: str,
        files: Sequence[RemoteFile],
        folder: Path,
        advance: Advance,
    ) -> None:
        """See `Hub`. In pieces through the client's file system, because its downloads begin anew after a stop."""
        system = self._client.HfFileSystem(endpoint=self._endpoint, skip_instance_cache=True)
        for each in files:
            target = folder / each.path
            if target.is_file():
                advance(each.size)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _fetch(system, f"{model_id}@{revision}/{each.path}", each.size, target, advance)
            # As above.
            except Exception as error:
                raise broken(model_id, each.path, error) from error


def _fetch(system: Any, address: str, size: int, target: Path, advance: Advance) -> None:
    part = target.with_name(target.name + UNFINISHED)
    with part.open("ab") as file:
        if file.tell() > size:
            file.truncate(0)
        have = file.tell()
        advance(have)
        if have < size:
            with system.open(address, "rb", cache_type="none") as source:
                source.seek(have)
                while have < size:
                    piece = source.read(min(_PIECE, size - have))
                    if not piece:
                        raise OSError(f"ends after {have} of {size} bytes")
                    file.write(piece)
                    have += len(piece)
                    advance(len(piece))
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)


class ModelScope:
    """modelscope.cn, through the optional package modelscope, which resumes broken files itself."""

    def __init__(self) -> None:
        try:
            self._api: Any = importlib.import_module("modelscope.hub.api")
            self._snapshot: Any = importlib.import_module("modelscope.hub.snapshot_download")
        except ImportError as error:
            raise MissingDependency(
                "the hub modelscope needs the package modelscope: pip install 'dualstreambench[modelscope]'"
            ) from error

    def listing(self, model_id: str, revision: str | None) -> Listing:
        """See `Hub`."""
        revision = revision or "master"
        try:
            found = self._api.HubApi().get_model_files(model_id, revision=revision, recursive=True)
        # The client raises errors of its own, of requests, and of the OS.
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status == 404 or type(error).__name__ == "NotExistError":
                raise ModelNotFound(
                    f"ModelScope knows no model {model_id} at revision {revision!r}: check the spelling"
                ) from error
            raise unreachable(model_id, "ModelScope", error) from error
        files = tuple(
            RemoteFile(each["Path"], int(each["Size"]), each.get("Sha256") or None)
            for each in found
            if each.get("Type") != "tree"
        )
        return Listing(revision, files)

    def download(
        self,
        model_id: str,
        revision: str,
        files: Sequence[RemoteFile],
        folder: Path,
        advance: Advance,
    ) -> None:
        """See `Hub`. The client loads several files at a time and shows its own progress."""
        try:
            self._snapshot.snapshot_download(
                model_id,
                revision=revision,
                local_dir=str(folder),
                allow_patterns=[glob.escape(each.path) for each in files],
            )
        # As above.
        except Exception as error:
            raise broken(model_id, "a file", error) from error
        advance(sum(each.size for each in files))


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
