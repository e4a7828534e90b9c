"""Whether the video of an item can be played to its end."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dsb.errors import DecodeError
from dsb.stream.binary import find_ffmpeg
from dsb.stream.probe import VideoInfo, probe


def check_video(path: Path, *, decode: bool) -> VideoInfo:
    """Describe a video and, with `decode`, decode all of its pictures.

    Raises `SourceError` for a file that is missing or no video, `DecodeError` for damage, and
    `DecoderNotFound` without ffmpeg.
    """
    info = probe(path)
    if decode:
        _decode(path)
    return info


def _decode(path: Path) -> None:
    flags = ["-nostdin", "-loglevel", "error", "-xerror", "-err_detect", "explode"]
    target = ["-map", "0:V:0", "-fps_mode", "passthrough", "-f", "null", "-"]
    argv = [str(find_ffmpeg()), *flags, "-i", f"file:{path}", *target]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    report = done.stderr.decode(errors="replace").strip()
    # An mp4 that ends too early leaves a message but no error status.
    if done.returncode or report:
        lines = report.splitlines() or ["no message"]
        raise DecodeError(f"{path}: damaged: {lines[0]}", returncode=done.returncode, stderr=report)
