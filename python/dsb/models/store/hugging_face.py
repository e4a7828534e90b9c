"""The Hugging Face hub, through its own client. What the client's own cache holds is taken from there."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from dsb.errors import ModelNotFound
from dsb.models.store.hubs import (
    UNFINISHED,
    Advance,
    Listing,
    RemoteFile,
    broken,
    gated,
    link,
    unreachable,
)

#: Bytes of one request. A stop loses less than this, and a fast line is not slowed by asking.
_PIECE = 16 << 20
_FILES_AT_ONCE = 4


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
            raise gated(model_id) from error
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
            RemoteFile(each.rfilename, each.size or 0, each.lfs.sha256)
            if each.lfs
            else RemoteFile(each.rfilename, each.size or 0, blob=each.blob_id)
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
        stop = threading.Event()

        def bring(file: RemoteFile) -> None:
            target = folder / file.path
            if target.is_file():
                advance(file.size)
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            cached = self._client.try_to_load_from_cache(model_id, file.path, revision=revision)
            if isinstance(cached, str):
                link(Path(cached).resolve(), target)
                advance(file.size)
                return
            address = f"{model_id}@{revision}/{file.path}"
            try:
                _fetch(system, address, file.size, target, advance, stop)
            except self._errors.GatedRepoError as error:
                raise gated(model_id) from error
            # As above.
            except Exception as error:
                raise broken(model_id, file.path, error) from error

        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            jobs = [pool.submit(bring, each) for each in files]
            try:
                for job in as_completed(jobs):
                    job.result()
            except BaseException:
                # The pool waits for what runs: it ends with its piece.
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _fetch(
    system: Any, address: str, size: int, target: Path, advance: Advance, stop: threading.Event
) -> None:
    """Bring a file from where an earlier call stopped; `target` appears when it is complete."""
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
                    if stop.is_set():
                        return
                    piece = source.read(min(_PIECE, size - have))
                    if not piece:
                        raise OSError(f"ends after {have} of {size} bytes")
                    file.write(piece)
                    have += len(piece)
                    advance(len(piece))
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
