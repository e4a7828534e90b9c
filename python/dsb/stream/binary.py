"""Which ffmpeg binary decodes, and exactly which build it is.

Different builds scale to different pixels, so the build is part of every run manifest.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dsb.errors import DecoderNotFound

#: The first release with `-fps_mode`.
MINIMUM_VERSION = (5, 1)

_REMEDY = "install one with `pip install imageio-ffmpeg`, or point DSB_FFMPEG at an ffmpeg binary"


@dataclass(frozen=True)
class FfmpegBuild:
    """Identity of an ffmpeg binary."""

    path: Path
    """Where it was found."""
    version: str
    """Version as the binary states it, for example `9.0.2` or `5.1.9-0+deb12u1`."""
    configuration: str
    """Its configure line: which codecs and hardware it was built with."""
    sha256: str
    """Hash of the binary, 64 lower-case hex digits."""


def find_ffmpeg(explicit: str | os.PathLike[str] | None = None) -> Path:
    """The ffmpeg to use: `explicit`, else `DSB_FFMPEG`, else the one of imageio-ffmpeg, else
    `PATH`.

    A name that was given on purpose is never silently replaced by another binary.

    Raises:
        DecoderNotFound: nothing was found, or what was asked for is no executable file.
    """
    if explicit is not None:
        return _executable(os.fspath(explicit), "the ffmpeg setting")
    if from_environment := os.environ.get("DSB_FFMPEG"):
        return _executable(from_environment, "DSB_FFMPEG")
    found = _bundled() or shutil.which("ffmpeg")
    if found is None:
        raise DecoderNotFound(f"no ffmpeg binary was found: {_REMEDY}")
    return Path(found)


def ffmpeg_build(binary: Path) -> FfmpegBuild:
    """Version, configuration and hash of `binary`; computed once per file content.

    Raises:
        DecoderNotFound: the file cannot be run, is not ffmpeg, or is older than 5.1.
    """
    try:
        status = binary.stat()
    except OSError as error:
        raise DecoderNotFound(f"{binary}: {error.strerror}: {_REMEDY}") from error
    return _build(binary, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _build(binary: Path, _mtime_ns: int, _size: int) -> FfmpegBuild:
    try:
        text = subprocess.run(
            [binary, "-version"], capture_output=True, timeout=60, check=True, text=True
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        raise DecoderNotFound(f"{binary} does not run as ffmpeg ({error}): {_REMEDY}") from error
    version = re.match(r"ffmpeg version n?(\S+)", text)
    if version is None:
        raise DecoderNotFound(f"{binary} is not ffmpeg: {_REMEDY}")
    # Builds from a git snapshot carry no release number (`N-118-g1a2b`); those are taken as new
    # enough.
    release = re.match(r"(\d+)\.(\d+)", version[1])
    if release and (int(release[1]), int(release[2])) < MINIMUM_VERSION:
        raise DecoderNotFound(
            f"{binary} is version {version[1]}, 5.1 or newer is needed: {_REMEDY}"
        )
    configuration = re.search(r"^configuration: *(.*)$", text, re.MULTILINE)
    with binary.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FfmpegBuild(binary, version[1], configuration[1] if configuration else "", digest)


def _executable(name: str, origin: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise DecoderNotFound(f"{origin} names {name!r}, which is no executable file: {_REMEDY}")
    return Path(found)


def _bundled() -> str | None:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # RuntimeError: its wheel has no binary for this platform
        return None
