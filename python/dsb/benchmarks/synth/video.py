"""Write a stream as H.264 video. The same stream gives the same pixels with the same ffmpeg."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dsb.atomic import sync_folder
from dsb.benchmarks.synth.render import render
from dsb.benchmarks.synth.world import Stream
from dsb.errors import DecodeError
from dsb.stream.binary import find_ffmpeg

VIDEO_FPS = 8
CELL_PX = 112
#: Part of the identity of a generated benchmark: other arguments mean other pixels.
ENCODING = (
    *("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p"),
    # One thread and no version strings: the bytes depend on nothing but the frames and the ffmpeg.
    *("-threads", "1", "-flags:v", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1"),
)
_CHUNK_FRAMES = 64


def write_video(stream: Stream, path: Path, ffmpeg: Path | None = None) -> None:
    """Render `stream` to an mp4 of 224 x 224 pixels; frame `n` shows the stream at `n / 8` s.

    The file appears complete or not at all. Raises `DecoderNotFound` without an ffmpeg and
    `DecodeError` if it fails, for example because it has no libx264.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _encode(stream, temporary, ffmpeg or find_ffmpeg())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _encode(stream: Stream, target: Path, ffmpeg: Path) -> None:
    size = f"{2 * CELL_PX}x{2 * CELL_PX}"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(VIDEO_FPS))
    argv = [str(ffmpeg), "-y", "-nostdin", "-loglevel", "error", *raw, "-i", "-", *ENCODING]
    # A file for the messages: a pipe that nobody reads could fill and block the encoder.
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            [*argv, "-f", "mp4", str(target)], stdin=subprocess.PIPE, stderr=messages
        )
        assert process.stdin is not None
        # A broken pipe: the encoder ended early, and its exit status and messages say why.
        try:
            with contextlib.suppress(BrokenPipeError):
                for chunk in _chunks(stream):
                    process.stdin.write(chunk)
        except BaseException:
            process.kill()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            status = process.wait()
        messages.seek(0)
        report = messages.read().decode(errors="replace").strip()
    if status:
        raise DecodeError(
            f"{target.name}: ffmpeg could not write the video ({report or status}). `dsb doctor` "
            "tells whether this ffmpeg can encode H.264 and whether the disk has room.",
            returncode=status,
            stderr=report,
        )


def _chunks(stream: Stream) -> Iterator[bytes]:
    count = int(stream.duration_s) * VIDEO_FPS
    for first in range(0, count, _CHUNK_FRAMES):
        frames = range(first, min(count, first + _CHUNK_FRAMES))
        yield render(stream, [n / VIDEO_FPS for n in frames], CELL_PX).tobytes()
