"""How this machine decodes: by hardware or not, and on how many threads.

Threads change no pixel and are chosen by measuring; hardware may change pixels, so it is used only
where it is asked for, and what is used is written down.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsb.atomic import write_json
from dsb.stream.binary import ffmpeg_build, find_ffmpeg
from dsb.stream.ffmpeg import input_spec
from dsb.stream.probe import describe

Hwaccel = Literal["none", "cuda", "vaapi", "auto"]

#: Tried in this order by `auto`.
_HARDWARE = ("cuda", "vaapi")
#: Stream seconds that a measurement decodes.
_SAMPLE_S = 3
#: Of two measurements the better one counts: whatever else the machine does only adds time.
_ROUNDS = 2
#: More threads must save this share of the wall time to be worth it.
_WORTH = 0.05
#: Frame threads beyond this cost memory and save nothing.
_MOST_THREADS = 16


@dataclass(frozen=True)
class DecoderChoice:
    """How videos are decoded."""

    hwaccel: str | None = None
    """Hardware decoder; `None` is software."""
    threads: int = 1
    """Threads of each decoder."""
    note: str = ""
    """Why the hardware that was asked for is not used."""


@dataclass(frozen=True)
class Cost:
    """What decoding the same pictures cost."""

    wall_s: float
    cpu_s: float


Measure = Callable[[Path, int, Path], Cost]


def choose_decoder(
    video: Path,
    *,
    hwaccel: Hwaccel = "none",
    threads: int | None = None,
    alone: bool = False,
    ffmpeg: str | os.PathLike[str] | None = None,
) -> DecoderChoice:
    """How to decode videos like `video`.

    Args:
        video: one of the videos, on which hardware is tried and threads are measured.
        hwaccel: `auto` takes the first hardware decoder that works.
        threads: per decoder; `None` measures once per machine, codec and picture size.
        alone: whether nothing else computes meanwhile: then wall time counts, else CPU time.
        ffmpeg: binary, see `dsb.stream.binary.find_ffmpeg`.

    Raises:
        SourceError: `video` is no video.
        DecoderNotFound: no ffmpeg.
    """
    binary = find_ffmpeg(ffmpeg)
    found, note = _hardware(video, hwaccel, binary)
    if threads is None:
        threads = best_threads(_costs(video, binary), alone=alone)
    return DecoderChoice(found, threads, note)


def best_threads(costs: Mapping[int, Cost], *, alone: bool) -> int:
    """The number of threads with the least wall time if decoding runs alone, else with the least
    CPU time; a single one where more save next to nothing.
    """
    least = min(costs)
    wall = {count: cost.wall_s for count, cost in costs.items()}
    cpu = {count: cost.cpu_s for count, cost in costs.items()}
    price = wall if alone else cpu
    best = min(costs, key=price.__getitem__)
    return best if price[best] < (1 - _WORTH) * price[least] else least


def measure(video: Path, threads: int, binary: Path) -> Cost:
    """Decode the first seconds of `video` and throw the pictures away.

    A file that cannot be decoded costs nothing; its session will say what is wrong.
    """
    costs = [_timed(video, threads, binary) for _ in range(_ROUNDS)]
    return Cost(min(each.wall_s for each in costs), min(each.cpu_s for each in costs))


def _timed(video: Path, threads: int, binary: Path) -> Cost:
    begin = time.perf_counter()
    with subprocess.Popen(
        _null_argv(video, binary, ["-threads", str(threads)], ["-t", str(_SAMPLE_S)]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime)


def _null_argv(video: Path, binary: Path, before: Sequence[str], after: Sequence[str]) -> list[str]:
    name, options = input_spec(video)
    flags = [part for key, value in options.items() for part in (f"-{key}", value or "")]
    head = [str(binary), "-hide_banner", "-nostdin", "-loglevel", "error", *before, *flags]
    return [*head, "-i", name, *after, "-map", "0:V:0", "-f", "null", "-"]


def _hardware(video: Path, wanted: Hwaccel, binary: Path) -> tuple[str | None, str]:
    if wanted == "none":
        return None, ""
    names = _HARDWARE if wanted == "auto" else (wanted,)
    reasons = []
    for name in names:
        reason = _trouble(video, name, binary)
        if reason is None:
            return name, ""
        reasons.append(f"{name}: {reason}")
    return None, f"no hardware decoder, videos are decoded in software ({'; '.join(reasons)})"


def _trouble(video: Path, hwaccel: str, binary: Path) -> str | None:
    """Why a hardware decoder does not work; `None` if it does. ffmpeg falls back to software with
    nothing but a message, so any message counts.
    """
    argv = _null_argv(video, binary, ["-hwaccel", hwaccel], ["-frames:v", "1"])
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return "no picture within 60 s"
    message = done.stderr.decode(errors="replace").strip()
    if done.returncode == 0 and not message:
        return None
    return message.splitlines()[0] if message else f"ffmpeg exits with {done.returncode}"


def _costs(video: Path, binary: Path, measured: Measure = measure) -> dict[int, Cost]:
    """Costs per number of threads, measured once and kept in the user's cache."""
    info = describe(video, binary)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    counts = sorted({1, min(cores or 1, _MOST_THREADS)})
    if len(counts) == 1:
        return {1: Cost(0.0, 0.0)}
    build = ffmpeg_build(binary).sha256[:16]
    key = f"{build} {info.codec} {info.height}p {cores} cores"
    known = _read(_cache_file())
    if key not in known:
        known[key] = {
            str(count): [cost.wall_s, cost.cpu_s]
            for count in counts
            for cost in (measured(video, count, binary),)
        }
        _write(_cache_file(), known)
    return {int(count): Cost(*pair) for count, pair in known[key].items()}


def _cache_file() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(folder).expanduser() / "dsb" / "decoder-threads.json"


def _read(path: Path) -> dict[str, dict[str, list[float]]]:
    """What was measured before; nothing if the file is not there or is not ours."""
    try:
        found = json.loads(path.read_text())
        return {
            str(key): {
                str(int(count)): [float(wall), float(cpu)] for count, (wall, cpu) in row.items()
            }
            for key, row in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(path: Path, known: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, known)
    except OSError:
        # Measuring again costs a second.
        return
