"""ModelScope, through its own client."""

from __future__ import annotations

import glob
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsb.errors import MissingDependency, ModelNotFound
from dsb.models.store.hubs import Advance, Listing, RemoteFile, broken, unreachable


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
