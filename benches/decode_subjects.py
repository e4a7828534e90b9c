"""One subject of the decode bench in a process of its own: `python benches/decode_subjects.py NAME`.

It imports what it needs, says what it is in one line of JSON, and then does one job per line of standard
input: frames of a video at given ticks as RGB arrays. Each reply has the wall time and the CPU time of the
process and of the children that it started, and which frames were delivered; start-up and imports are in
neither. Every peer is asked for the frames on screen at the ticks (`pts <= tick`) in the cheapest way that
it offers, with as many decoding threads as it chooses by itself.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TextIO

import numpy as np

from decode_files import read_number


@dataclass(frozen=True)
class Job:
    """Frames on screen at `k / fps` for k in `range(ticks)`, `side` x `side` pixels."""

    name: str
    path: str
    fps: float
    ticks: int
    side: int

    @property
    def times(self) -> list[Fraction]:
        """The ticks in seconds from the start of the file."""
        return [Fraction(k) / Fraction(self.fps) for k in range(self.ticks)]


@dataclass(frozen=True)
class Reply:
    """What a job cost and gave."""

    wall_s: float
    cpu_s: float
    numbers: list[int | None]
    """The number in each delivered frame."""
    digest: str
    """Hash of all delivered pixels."""
    step: int | None
    """What is usually written with this library: every `step`-th frame, from the rate in the file."""


@dataclass(frozen=True)
class Decoded:
    """Frames (T, side, side, 3) uint8, or none for a subject that delivers none."""

    frames: Any | None
    rate: float | None = None
    """Frames per second, as the library reports it."""


Work = Callable[[Job], Decoded]


def core(pruning: str) -> tuple[str, Work]:
    """`dsb` itself."""
    import dsb
    from dsb.stream.request import DecodeRequest
    from dsb.stream.source import open_source

    def work(job: Job) -> Decoded:
        request = DecodeRequest(job.path, Fraction(job.fps), (job.side, job.side))
        with open_source(request, capacity=job.ticks + 8, pruning=pruning) as source:
            if not source.frames.wait(job.ticks - 1, timeout_s=600):
                raise RuntimeError(f"fewer than {job.ticks} frames")
            # Also what the decoder does after the last frame belongs to the price.
            source.frames.wait(job.ticks + 8, timeout_s=600)
            return Decoded(np.asarray(source.frames.window(0, job.ticks)))

    return f"dsb {dsb.__version__}", work


def null() -> tuple[str, Work]:
    """`ffmpeg -f null`: the same binary decodes every frame and drops it."""
    from dsb.stream.binary import ffmpeg_build, find_ffmpeg

    binary = find_ffmpeg()

    def work(job: Job) -> Decoded:
        source = ("-i", f"file:{job.path}", "-map", "0:V:0", "-f", "null", "-")
        quiet = ("-hide_banner", "-nostdin", "-loglevel", "error")
        subprocess.run([binary, *quiet, *source], check=True)
        return Decoded(None)

    return f"ffmpeg {ffmpeg_build(binary).version}", work


def pyav() -> tuple[str, Work]:
    """PyAV: every frame is decoded, those on screen at a tick are scaled."""
    import av
    from av.video.reformatter import Interpolation

    def work(job: Job) -> Decoded:
        frames = np.empty((job.ticks, job.side, job.side, 3), np.uint8)
        size = {"width": job.side, "height": job.side, "format": "rgb24"}
        times, shown, last = job.times, 0, None
        with av.open(job.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate)
            for frame in container.decode(stream):
                now = frame.pts * frame.time_base
                while shown < job.ticks and times[shown] < now:
                    image = last.reformat(**size, interpolation=Interpolation.BICUBIC)
                    frames[shown] = image.to_ndarray()
                    shown += 1
                last = frame
            for index in range(shown, job.ticks):
                image = last.reformat(**size, interpolation=Interpolation.BICUBIC)
                frames[index] = image.to_ndarray()
        return Decoded(frames, rate)

    return f"PyAV {av.__version__}", work


def decord() -> tuple[str, Work]:
    """decord: the frames on screen are looked up in its table of times, and asked for by index.

    It fails on VP9 with several threads; a file on which it failed is decoded with one from then on.
    """
    import decord as library

    alone: set[str] = set()

    def decode(job: Job) -> Decoded:
        threads = int(job.name in alone)
        size = {"width": job.side, "height": job.side}
        reader = library.VideoReader(job.path, **size, num_threads=threads)
        begins = reader.get_frame_timestamp(range(len(reader)))[:, 0]
        times = [float(t) for t in job.times]
        indices = np.maximum(np.searchsorted(begins, times, side="right") - 1, 0)
        return Decoded(reader.get_batch(indices).asnumpy(), reader.get_avg_fps())

    def work(job: Job) -> Decoded:
        try:
            return decode(job)
        except library.DECORDError:
            if job.name in alone:
                raise
            alone.add(job.name)
            return decode(job)

    return f"decord {library.__version__}", work


def torchcodec() -> tuple[str, Work]:
    """torchcodec: `get_frames_played_at`, which is causal by definition; it scales while it decodes."""
    import torchcodec as library
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    def work(job: Job) -> Decoded:
        how = {"dimension_order": "NHWC", "num_ffmpeg_threads": 0}
        resize = [Resize((job.side, job.side))]
        decoder = VideoDecoder(job.path, **how, transforms=resize)
        played = decoder.get_frames_played_at([float(t) for t in job.times])
        return Decoded(played.data.numpy())

    return f"torchcodec {library.__version__}", work


def opencv() -> tuple[str, Work]:
    """OpenCV: every frame is grabbed, those on screen at a tick are converted and resized.

    It cannot keep a frame until the next one is seen, so the time of the next one is foretold from the
    rate; that is exact only because these files have a constant one.
    """
    import cv2

    def work(job: Job) -> Decoded:
        frames = np.empty((job.ticks, job.side, job.side, 3), np.uint8)
        times, shown = [float(t) for t in job.times], 0
        video = cv2.VideoCapture(job.path, cv2.CAP_FFMPEG)
        rate = video.get(cv2.CAP_PROP_FPS)
        while shown < job.ticks and video.grab():
            next_s = video.get(cv2.CAP_PROP_POS_MSEC) / 1000 + 1 / rate
            if times[shown] < next_s - 1e-6:
                good, picture = video.retrieve()
                if not good:
                    break
                scaled = cv2.resize(picture, (job.side, job.side), interpolation=cv2.INTER_CUBIC)
                while shown < job.ticks and times[shown] < next_s - 1e-6:
                    frames[shown] = cv2.cvtColor(scaled, cv2.COLOR_BGR2RGB)
                    shown += 1
        video.release()
        if shown < job.ticks:
            raise RuntimeError(f"OpenCV delivered {shown} of {job.ticks} frames")
        return Decoded(frames, rate)

    return f"OpenCV {cv2.__version__}", work


#: What the null decode is called: every ratio is to it.
BASE = "ffmpeg -f null"
SUBJECTS: Mapping[str, Callable[[], tuple[str, Work]]] = {
    "dsb": lambda: core("auto"),
    "dsb unpruned": lambda: core("off"),
    BASE: null,
    "PyAV": pyav,
    "decord": decord,
    "torchcodec": torchcodec,
    "OpenCV": opencv,
}


def cpu_s() -> float:
    """User and system time of this process and of the children that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(work: Work, job: Job) -> Reply:
    """Do one job."""
    cpu, begun = cpu_s(), time.perf_counter()
    decoded = work(job)
    wall_s, used_s = time.perf_counter() - begun, cpu_s() - cpu
    numbers, digest = [], ""
    if decoded.frames is not None:
        shape = (job.ticks, job.side, job.side, 3)
        if decoded.frames.shape != shape or decoded.frames.dtype != np.uint8:
            raise RuntimeError(f"frames {decoded.frames.shape} {decoded.frames.dtype}, not {shape}")
        numbers = [read_number(frame) for frame in decoded.frames]
        digest = hashlib.sha256(np.ascontiguousarray(decoded.frames)).hexdigest()
    step = round(decoded.rate / job.fps) if decoded.rate else None
    return Reply(wall_s, used_s, numbers, digest, step)


def serve(name: str, replies: TextIO) -> None:
    """Answer jobs until standard input ends."""

    def answer(content: Mapping[str, Any]) -> None:
        print(json.dumps(content), file=replies, flush=True)

    try:
        version, work = SUBJECTS[name]()
    except Exception as error:  # noqa: BLE001 - a peer that cannot be loaded is skipped by name
        return answer({"error": _reason(error)})
    answer({"version": version})
    for line in sys.stdin:
        try:
            answer(dataclasses.asdict(measure(work, Job(**json.loads(line)))))
        except Exception as error:  # noqa: BLE001 - what a peer cannot decode is a result
            answer({"error": _reason(error)})
    return None


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".replace("|", "/")[:160]


if __name__ == "__main__":
    # Libraries write to standard output as they please; replies must not mix with that.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.argv[1], channel)
