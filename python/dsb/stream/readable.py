"""What is wrong with a source can often be said before any decoder starts, and said better."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from dsb.errors import SourceError
from dsb.stream.ffmpeg import is_url

_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"v=0")
#: Whether the rights of the moment count, and not those with which the program was started.
_EFFECTIVE = os.access in os.supports_effective_ids
#: Control characters that text does not have.
_BINARY = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")


def check_readable(path: str | os.PathLike[str]) -> None:
    """Refuse early what ffmpeg would refuse with a message that helps nobody; URLs pass unchecked.

    Raises:
        SourceError: missing, a folder, unreadable or empty, with the remedy.
    """
    if is_url(path):
        return
    name = os.fspath(path)
    complaint = _complaint(Path(path))
    if complaint is not None:
        raise SourceError(f"{name}: {complaint}")


def _complaint(path: Path) -> str | None:
    checks: list[tuple[Callable[[], bool], str]] = [
        (lambda: not path.exists(), f"no such file; {_nearest_folder(path)}"),
        (path.is_dir, "is a folder, not a video; name one of the files in it"),
        (
            lambda: not os.access(path, os.R_OK, effective_ids=_EFFECTIVE),
            f"cannot be read; allow it with `chmod u+r {path.name!r}`",
        ),
        (
            lambda: path.is_file() and path.stat().st_size == 0,
            "is empty; copy or download it again",
        ),
        (lambda: _is_text(path), "is a text file, not a video; check the name"),
    ]
    try:
        return next((text for is_wrong, text in checks if is_wrong()), None)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        return f"cannot be opened ({error}); check the path"


def _is_text(path: Path) -> bool:
    """Whether a file is prose, code or data, which ffmpeg would play as a teletype if named `.txt`.

    Playlists are text too, and are left to ffmpeg.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    if head.lstrip().startswith(_PLAYLISTS) or any(byte in _BINARY for byte in head):
        return False
    # A character may be cut at the end of what was read.
    return "\ufffd" not in head.decode(errors="replace")[:-1]


def _nearest_folder(path: Path) -> str:
    """Where the search for a missing file should start."""
    missing = [folder for folder in path.absolute().parents if not folder.exists()]
    if missing:
        return f"the folder {str(missing[-1])!r} does not exist either; check the data folder"
    return "check the name and the data folder"
