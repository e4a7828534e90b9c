"""Bringing a checkpoint from a hub, so that a folder with a manifest is always whole.

Files come into `.partial/<revision>/` and take their places when all of them are there and have the right
hashes; the manifest is written last. A stop at any moment leaves either the old copy or a folder that nothing
takes for a checkpoint, and the next fetch goes on from what has come.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dsb.atomic import sync_folder
from dsb.errors import ModelError
from dsb.models.store import choose, layout, manifest
from dsb.models.store.hubs import UNFINISHED, Hub, Listing, RemoteFile, link
from dsb.models.store.manifest import FileEntry, Manifest

#: Told what is being done, and how many of how many bytes of it are done.
Progress = Callable[[str, int, int], None]

_ATTEMPTS = 2


@dataclass(frozen=True)
class Fetched:
    """A whole checkpoint on this machine."""

    folder: Path
    manifest: Manifest
    #: Bytes that came from the hub; 0 if everything was here.
    received: int


def fetch(
    model_id: str,
    *,
    hub: str = "hf",
    revision: str | None = None,
    into: Path | None = None,
    verify: bool = False,
    progress: Progress = lambda *_: None,
) -> Fetched:
    """Make `into` (default: the folder of `model_id` in the cache) a whole copy of a repository.

    Without `revision` an existing copy stays as it is, and no network is needed; `verify` re-hashes it. Files that
    are damaged or lost are fetched again, of the same revision.

    Raises:
        ModelNotFound: no such repository or revision.
        ModelError: not a hub id; the hub cannot be reached; the line broke; what came is damaged; the disk is full.
        MissingDependency: the hub's client is not installed.
    """
    if not layout.is_hub_id(model_id):
        raise ModelError(f"{model_id!r} is not a hub id; write owner/name")
    folder = into or layout.folder_of(model_id)
    if folder.exists() and not folder.is_dir():
        raise ModelError(f"{folder} is a file; give a folder with --into")
    have = manifest.whole(folder)
    if (
        have is not None
        and have.id == model_id
        and revision in (None, have.revision)
        and not verify
    ):
        return Fetched(folder, have, 0)  # also where nothing can be written
    try:
        with _alone(folder):
            return _fetch(folder, model_id, hub, revision, verify, progress)
    except OSError as error:
        place = error.filename or folder
        raise ModelError(
            f"{place}: {error.strerror or error}; give another place with --into or DSB_MODEL_CACHE"
        ) from error


def open_hub(name: str) -> Hub:
    """The hub called `hf` or `modelscope`. Raises `MissingDependency`."""
    if name == "hf":
        from dsb.models.store.hugging_face import HuggingFace

        return HuggingFace()
    from dsb.models.store.model_scope import ModelScope

    return ModelScope()


def _fetch(
    folder: Path,
    model_id: str,
    hub: str,
    revision: str | None,
    verify: bool,
    progress: Progress,
) -> Fetched:
    have = _own(folder, model_id)
    if have is not None and revision in (None, have.revision):
        lost = _lost(folder, have, progress if verify else None)
        if not lost:
            return Fetched(folder, have, 0)
        hub, revision = have.hub, have.revision
        for path in lost:
            (folder / path).unlink(missing_ok=True)
    progress("asking the hub", 0, 0)
    client = open_hub(hub)
    listing = client.listing(model_id, revision)
    if have is not None and have.revision == listing.revision and manifest.whole(folder):
        return Fetched(folder, have, 0)
    received, files = _bring(client, model_id, listing, folder, have, progress)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    done = Manifest(hub, model_id, listing.revision, now, files)
    _install(folder, listing.revision, done, have)
    return Fetched(folder, done, received)


def _bring(
    client: Hub,
    model_id: str,
    listing: Listing,
    folder: Path,
    have: Manifest | None,
    progress: Progress,
) -> tuple[int, tuple[FileEntry, ...]]:
    """Everything into the partial folder; bytes received, and what the files are."""
    files = _needed(model_id, listing)
    partial = _partial(folder, listing.revision)
    if have is not None:
        _keep(folder, have, listing.revision, files, partial)
    total = sum(each.size for each in files)
    received = 0
    for _ in range(_ATTEMPTS):
        here = sum(_present(partial, each) for each in files)
        _check_room(partial, total - here, model_id)
        received += total - here
        client.download(
            model_id, listing.revision, files, partial, _counter("fetching", total, progress)
        )
        hashing = _counter("checking", total, progress)
        found = manifest.entries(partial, [each.path for each in files], hashing)
        wrong = _differing(partial, found, files)
        if not wrong:
            return received, found
        for path in wrong:
            (partial / path).unlink()
    raise ModelError(
        f"{', '.join(wrong)} of {model_id} came with another content than the hub announces, {_ATTEMPTS} times; "
        "something between the hub and this machine changes files"
    )


def _install(folder: Path, revision: str, done: Manifest, old: Manifest | None) -> None:
    """Move the files of the partial folder to their places and declare the folder whole."""
    partial = _partial(folder, revision)
    (folder / manifest.NAME).unlink(missing_ok=True)
    sync_folder(folder)
    for each in done.files:
        place = folder / each.path
        place.parent.mkdir(parents=True, exist_ok=True)
        (partial / each.path).replace(place)
    for parent in {(folder / each.path).parent for each in done.files}:
        sync_folder(parent)
    new = {each.path for each in done.files}
    for left in {each.path for each in old.files} - new if old else ():
        (folder / left).unlink(missing_ok=True)
    manifest.write(folder, done)
    shutil.rmtree(folder / layout.PARTIAL, ignore_errors=True)


def _needed(model_id: str, listing: Listing) -> list[RemoteFile]:
    names = set(choose.needed(each.path for each in listing.files))
    if not names & {"config.json", "modules.json"} or not any(map(choose.is_weights, names)):
        raise ModelError(
            f"{model_id} holds no checkpoint that transformers or sentence-transformers load: it has no "
            "config.json, or no *.safetensors or pytorch_model*.bin; look for a conversion of it (often called `-hf`)"
        )
    return [each for each in listing.files if each.path in names]


def _keep(
    folder: Path, have: Manifest, revision: str, files: Sequence[RemoteFile], partial: Path
) -> None:
    """Link what an older copy shares with the new one into the partial folder."""
    old = {each.path: each for each in have.files}
    for each in files:
        entry, source, target = old.get(each.path), folder / each.path, partial / each.path
        same = entry is not None and (have.revision == revision or entry.sha256 == each.sha256)
        if not same or target.exists() or not source.is_file():
            continue
        if source.stat().st_size == each.size:
            target.parent.mkdir(parents=True, exist_ok=True)
            link(source, target)


def _partial(folder: Path, revision: str) -> Path:
    """The folder for files of `revision` that have come; what came of other revisions goes."""
    own = folder / layout.PARTIAL / revision.replace("/", "--")
    own.mkdir(parents=True, exist_ok=True)
    for other in own.parent.iterdir():
        if other != own:
            shutil.rmtree(other, ignore_errors=True)
    return own


def _present(partial: Path, file: RemoteFile) -> int:
    for path in (partial / file.path, partial / (file.path + UNFINISHED)):
        if path.is_file():
            return min(path.stat().st_size, file.size)
    return 0


def _check_room(partial: Path, need: int, model_id: str) -> None:
    free = shutil.disk_usage(partial).free
    if need > free:
        raise ModelError(
            f"{model_id} needs {need} more bytes, but the disk of {partial} has {free}; free some space, or give "
            "another place with --into or DSB_MODEL_CACHE"
        )


def _differing(partial: Path, found: Sequence[FileEntry], files: Sequence[RemoteFile]) -> list[str]:
    """Files that are not what the hub announced."""
    announced = {each.path: each for each in files}
    return [each.path for each in found if not _is(partial, each, announced[each.path])]


def _is(partial: Path, found: FileEntry, announced: RemoteFile) -> bool:
    if found.size != announced.size or announced.sha256 not in (None, found.sha256):
        return False
    return announced.blob is None or manifest.git_blob(partial / found.path) == announced.blob


def _lost(folder: Path, have: Manifest, verify: Progress | None) -> list[str]:
    if verify is None:
        return manifest.missing(folder, have)
    return manifest.damaged(folder, have, _counter("checking", have.size, verify))


def _own(folder: Path, model_id: str) -> Manifest | None:
    """The manifest of an earlier fetch. Raises `ModelError` if the folder holds something else."""
    have = manifest.read(folder)
    if have is not None and have.id != model_id:
        raise ModelError(f"{folder} holds {have.id}; give {model_id} another folder with --into")
    begun = (folder / layout.PARTIAL).exists()
    if have is None and not begun and folder.is_dir() and any(folder.iterdir()):
        raise ModelError(
            f"{folder} holds files that were not fetched; move them away, or give another folder with --into"
        )
    return have


def _counter(what: str, total: int, progress: Progress) -> Callable[[int], None]:
    done = 0
    lock = threading.Lock()

    def advance(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            progress(what, done, total)

    progress(what, 0, total)
    return advance


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other fetches away from `folder`. Raises `ModelError` if one is at work."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelError(f"another fetch into {folder} is at work; wait for it") from None
        yield
