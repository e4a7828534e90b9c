"""A window of frames, and reading frames while Python works, against what one writes without the core.

    python benches/windows.py [--rounds N] [--json rows.json]

Three measurements in one run, with interleaved rounds:

* *window*: the newest 64 frames of 448 x 448 as one array. `dsb` leases them from the ring, across its
  seam, and copies nothing; a `collections.deque` is gathered with `np.stack`. The limit of any copy is
  `np.copyto` of the same bytes.
* *frame + window*: a frame arrives, then the window is wanted. `dsb` copies the frame into a ring of the
  core; `np.roll` shifts an array of 64 frames and writes the frame at its end.
* *reader*: frames per second that a reader takes from a pipe, and the share of that which is left while a
  thread of the same interpreter computes. The core reads in a thread without the interpreter; the peer is a
  Python thread with `readinto` into arrays made before, from a pipe of the same size. The limit is a second
  process that reads: what it loses, it loses to two processes and a thread that share the processors.

Every subject's frames are compared before anything is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsb._core import EmbeddingRing, FrameSource, WindowSpec
from dsb.stream.binary import find_ffmpeg
from rows import Row, print_rows, write_rows

#: What the core asks the system for, too.
PIPE_BYTES = 1 << 20


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    side: int
    """Width and height of a frame in pixels."""
    window: int
    """Frames of a window."""
    stream: int
    """Frames that a reader reads."""
    repeats: int
    """Windows per round; those that copy are made a hundredth as often."""
    rounds: int


def stream_argv(scale: Scale, frames: int) -> list[str]:
    """A decoder command that writes `frames` moving pictures in NUT to its standard output."""
    source = f"testsrc2=size={scale.side}x{scale.side}:rate=30"
    output = ("-c:v", "rawvideo", "-pix_fmt", "rgb24", "-write_index", "0", "-f", "nut", "pipe:1")
    shown = ("-loglevel", "error", "-f", "lavfi", "-i", source, "-frames:v", str(frames))
    return [str(find_ffmpeg()), "-hide_banner", "-nostdin", *shown, *output]


def filled(scale: Scale) -> FrameSource:
    """A source whose newest window crosses the seam of its ring."""
    frames = scale.window * 3 // 2
    how = {"name": "pattern", "capacity": scale.window, "overflow": "drop-oldest"}
    source = FrameSource(stream_argv(scale, frames), **how)
    if not source.frames.wait(frames - 1, timeout_s=60):
        raise SystemExit("the pattern ended early")
    if not 0 < frames % source.frames.capacity < scale.window:
        raise SystemExit(f"a ring of {source.frames.capacity} frames has its seam elsewhere")
    return source


def seconds_each(work: Callable[[], object], repeats: int) -> float:
    """Mean wall time of one call."""
    begun = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begun) / repeats


def windows(scale: Scale, source: FrameSource) -> Mapping[str, Callable[[], Any]]:
    """Every way to the newest window as an array (T, H, W, 3) uint8."""
    ring = source.frames
    start, stop = ring.newest - scale.window, ring.newest
    leased = np.asarray(ring.window(start, stop))
    again = np.asarray(ring.window(start, stop))
    if leased.__array_interface__["data"] != again.__array_interface__["data"]:
        raise SystemExit("a window of the ring is a copy")
    queue = deque((frame.copy() for frame in leased), maxlen=scale.window)
    spec, now_ns = WindowSpec(max_frames=scale.window), 1 << 62
    target = np.empty_like(leased)

    def copied() -> Any:
        np.copyto(target, leased)
        return target

    ways = {
        "dsb: window": lambda: np.asarray(ring.window(start, stop)),
        "dsb: at t": lambda: np.asarray(ring.at(now_ns, spec)),
        "deque + np.stack": lambda: np.stack(queue),
        "limit: np.copyto": copied,
    }
    check_equal(ways)
    return ways


def arrivals(scale: Scale, source: FrameSource) -> Mapping[str, Callable[[], Any]]:
    """Every way to take one frame in and look at the newest window."""
    ring = source.frames
    frames = np.asarray(ring.window(ring.newest - scale.window, ring.newest)).copy()
    shape, frame = frames.shape, frames[-1]
    own = EmbeddingRing(record_bytes=frame.nbytes, capacity=scale.window)
    own.push(frames, 0)
    queue = deque(frames, maxlen=scale.window)
    # A holder, because `np.roll` gives a new array each time.
    rolled = [frames]

    def in_ring() -> Any:
        last = own.push(frame, 0)
        return np.asarray(own.window(last + 1 - scale.window, last + 1)).reshape(shape)

    def in_queue() -> Any:
        queue.append(frame)
        return np.stack(queue)

    def in_roll() -> Any:
        rolled[0] = np.roll(rolled[0], -1, axis=0)
        rolled[0][-1] = frame
        return rolled[0]

    ways = {"dsb": in_ring, "deque + np.stack": in_queue, "np.roll": in_roll}
    check_equal(ways)
    return ways


def check_equal(ways: Mapping[str, Callable[[], Any]]) -> None:
    """Refuse to measure subjects that show different frames."""
    expected, *others = [np.array(work()) for work in ways.values()]
    for name, other in zip(list(ways)[1:], others, strict=True):
        if not np.array_equal(expected, other):
            raise SystemExit(f"{name}: other frames")


def core_reader(path: Path, scale: Scale) -> None:
    """The core reads all frames of a NUT stream into its ring."""
    how = {"name": path.name, "capacity": scale.window, "overflow": "drop-oldest"}
    with FrameSource(["cat", str(path)], **how) as source:
        if not source.frames.wait(scale.stream - 1, timeout_s=600):
            raise SystemExit("the stream ended early")


def python_reader(path: Path, scale: Scale) -> None:
    """A Python thread reads the same bytes into arrays made before; it need not parse anything."""
    ring = np.empty((scale.window, scale.side * scale.side * 3), np.uint8)

    def read(pipe: Any) -> None:
        for number in range(scale.stream):
            rest = memoryview(ring[number % scale.window])
            while rest:
                got = pipe.readinto(rest)
                if not got:
                    return
                rest = rest[got:]
        while pipe.read(PIPE_BYTES):
            pass

    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE, bufsize=0) as child:
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        thread = threading.Thread(target=read, args=(child.stdout,))
        thread.start()
        thread.join()


def process_reader(path: Path, _scale: Scale) -> None:
    """A process without Python reads the same bytes and drops them."""
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as child:
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        drop = ("dd", f"bs={PIPE_BYTES}", "of=/dev/null", "status=none")
        subprocess.run(drop, stdin=child.stdout, check=True)


READERS: Mapping[str, Callable[[Path, Scale], None]] = {
    "dsb": core_reader,
    "readinto in a thread": python_reader,
    "limit: dd": process_reader,
}


@contextlib.contextmanager
def busy_interpreter() -> Iterator[None]:
    """A thread that computes in Python all the time, as tokenizing or post-processing does."""
    done = threading.Event()

    def work() -> None:
        total = 0
        while not done.is_set():
            total += sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def read_rates(path: Path, scale: Scale) -> dict[str, tuple[float, float]]:
    """Frames per second of each reader: alone, and beside a busy thread."""
    rates = {}
    for name, reader in READERS.items():
        alone_s = seconds_each(lambda read=reader: read(path, scale), 1)
        with busy_interpreter():
            busy_s = seconds_each(lambda read=reader: read(path, scale), 1)
        rates[name] = (scale.stream / alone_s, scale.stream / busy_s)
    return rates


def measure(scale: Scale) -> list[Row]:
    """All rows."""
    label = f"{scale.window} frames of {scale.side} x {scale.side}"
    times: dict[tuple[str, str], list[float]] = {}
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in READERS}
    with tempfile.TemporaryDirectory() as folder, filled(scale) as source:
        path = Path(folder) / "stream.nut"
        with path.open("wb") as file:
            subprocess.run(stream_argv(scale, scale.stream), stdout=file, check=True)
        cases = {
            f"window of {label}": windows(scale, source),
            f"frame + window of {label}": arrivals(scale, source),
        }
        for _ in range(scale.rounds):
            for case, ways in cases.items():
                for name, work in ways.items():
                    leases = name.startswith("dsb") and case.startswith("window")
                    repeats = scale.repeats if leases else max(1, scale.repeats // 100)
                    each_s = seconds_each(work, repeats)
                    times.setdefault((case, name), []).append(each_s * 1e6)
            for name, pair in read_rates(path, scale).items():
                rates[name].append(pair)
        del cases, ways, work
    rows = [Row.of(case, name, "µs", values) for (case, name), values in times.items()]
    return rows + reader_rows(scale, rates)


def reader_rows(scale: Scale, rates: Mapping[str, list[tuple[float, float]]]) -> list[Row]:
    """Speed alone, speed beside a busy thread, and the share that is left."""
    case, rows = f"reader of {scale.side} x {scale.side}", []
    for name, pairs in rates.items():
        rows += [
            Row.of(case, name, "frames/s alone", [alone for alone, _ in pairs]),
            Row.of(case, name, "frames/s beside a busy thread", [busy for _, busy in pairs]),
            Row.of(case, name, "share kept", [busy / alone for alone, busy in pairs]),
        ]
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it works")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    quick = Scale(side=32, window=8, stream=64, repeats=100, rounds=1)
    full = Scale(side=448, window=64, stream=512, repeats=2000, rounds=arguments.rounds)
    rows = measure(quick if arguments.quick else full)
    print_rows(rows)
    if arguments.json:
        write_rows(arguments.json, rows)


if __name__ == "__main__":
    main()
