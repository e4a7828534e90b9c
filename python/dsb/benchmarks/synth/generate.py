"""Make the synthetic benchmark: videos, items and the description of the world they come from.

Everything is a function of `(seed, split, level)` and the number of streams. A second call with the
same arguments keeps the videos that are complete and writes the missing ones, so an interrupted
call is simply repeated. A larger number of streams extends a benchmark without changing what is
there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsb.atomic import write_json
from dsb.benchmarks.item import Item, load_items
from dsb.benchmarks.layout import all_items_file, write_layout
from dsb.benchmarks.synth.fair import Fair
from dsb.benchmarks.synth.items import stream_items
from dsb.benchmarks.synth.levels import LEVELS, LevelName, Split, stream_seed
from dsb.benchmarks.synth.video import CELL_PX, ENCODING, VIDEO_FPS, write_video
from dsb.benchmarks.synth.world import Stream, make_stream
from dsb.errors import BenchmarkError
from dsb.stream.binary import ffmpeg_build, find_ffmpeg

WORLD_SCHEMA = "dsb-world/1"
#: Changes whenever the same seed gives other streams, pixels or questions.
GENERATOR_VERSION = 1

#: Called after every video with `(videos done, videos in all, whether this one was there already)`.
Progress = Callable[[int, int, bool], None]


@dataclass(frozen=True)
class Plan:
    """What to make. All fields together decide every byte of the items."""

    sessions: int
    """Number of streams."""
    seed: int = 0
    """Between 0 and 9999."""
    level: LevelName = "default"
    split: Split = "dev"
    per_format: int = 3
    """Open questions per task and stream, and as many with options."""
    instructions: int = 4
    """Standing instructions per stream."""

    def stream(self, index: int) -> Stream:
        """The truth of stream `index`."""
        level = LEVELS[self.level]
        seed = stream_seed(self.seed, index, self.split)
        return make_stream(seed, level.duration_s, level.density)

    def name(self, index: int) -> str:
        """Name of stream `index`, unique among all levels, seeds and splits."""
        return f"synth-{self.level}-{stream_seed(self.seed, index, self.split)}"

    def video(self, index: int) -> str:
        """Path of the video of stream `index` below the data root."""
        return f"videos/{self.name(index)}.mp4"


@dataclass(frozen=True)
class Generated:
    """What a call of `generate` did."""

    items: list[Item]
    videos_written: int
    videos_kept: int


def make_items(plan: Plan) -> list[Item]:
    """The items of the benchmark, stream by stream; no video is made or needed."""
    fair, items = Fair(), []
    for index in range(plan.sessions):
        items += stream_items(
            plan.stream(index),
            LEVELS[plan.level],
            fair,
            video=plan.video(index),
            prefix=plan.name(index),
            per_format=plan.per_format,
            instructions=plan.instructions,
        )
    return items


def generate(
    out: Path, plan: Plan, *, shards: int | None = None, progress: Progress | None = None
) -> Generated:
    """Write the benchmark of `plan` to the data root `out`.

    `shards` divides it anew; `None` leaves files alone that hold these items already.

    Raises `BenchmarkError` when `out` holds the streams of another plan, `ValueError` for a seed
    out of range, and `DecoderNotFound` or `DecodeError` when the videos cannot be written.
    """
    if plan.sessions < 1:
        raise ValueError(f"at least one stream is needed, not {plan.sessions}")
    stream_seed(plan.seed, plan.sessions - 1, plan.split)
    made_by = _check_world(out, plan)
    ffmpeg = find_ffmpeg()
    written = 0
    for index in range(plan.sessions):
        path = out / plan.video(index)
        kept = path.is_file()
        if not kept:
            # Known before the file appears: a video of unknown origin would be kept unseen.
            made_by[plan.video(index)] = ffmpeg_build(ffmpeg).version
            _write_world(out, plan, made_by)
            write_video(plan.stream(index), path, ffmpeg)
            written += 1
        if progress:
            progress(index + 1, plan.sessions, kept)
    items = make_items(plan)
    if shards is not None or not _holds(out, items):
        write_layout(out, items, shards=shards or 1)
    _write_world(out, plan, made_by)
    return Generated(items, written, plan.sessions - written)


def _holds(out: Path, items: list[Item]) -> bool:
    """Whether `out` has exactly these items."""
    path = all_items_file(out)
    try:
        return path.exists() and load_items(path) == items
    except BenchmarkError:
        return False


def _identity(plan: Plan) -> dict[str, Any]:
    """What decides the streams and their pixels, but not how many there are."""
    return {
        "schema": WORLD_SCHEMA,
        "generator": GENERATOR_VERSION,
        "seed": plan.seed,
        "split": plan.split,
        "level": asdict(LEVELS[plan.level]),
        "video": {"fps": VIDEO_FPS, "width": 2 * CELL_PX, "encoding": list(ENCODING)},
    }


def _write_world(out: Path, plan: Plan, made_by: dict[str, str]) -> None:
    streams = [
        {
            "video": plan.video(index),
            "seed": stream_seed(plan.seed, index, plan.split),
            "ffmpeg": made_by.get(plan.video(index)),
        }
        for index in range(plan.sessions)
    ]
    counts = {"per_format": plan.per_format, "instructions": plan.instructions}
    write_json(out / "world.json", {**_identity(plan), **counts, "streams": streams})


def _check_world(out: Path, plan: Plan) -> dict[str, str]:
    """The ffmpeg version behind each video that `out` holds already. Raises `BenchmarkError`."""
    path = out / "world.json"
    if not path.exists():
        if (out / "final").exists():
            raise BenchmarkError(
                f"{out}: holds a benchmark that was not generated here (no world.json). Choose "
                "another folder."
            )
        return {}
    try:
        world = json.loads(path.read_text(encoding="utf-8"))
        streams = {entry["video"]: entry["ffmpeg"] for entry in world["streams"]}
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f"{path}: not the description of a world ({error}). Delete {out} or choose another "
            "folder."
        ) from error
    for key, value in _identity(plan).items():
        if world.get(key) != value:
            raise BenchmarkError(
                f"{path}: {key}: {out} holds other streams ({world.get(key)!r} instead of "
                f"{value!r}). Choose another folder, or delete this one."
            )
    return streams
