"""`dsb data`: make, check, count and divide benchmark items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsb.cli.exit_codes import EPILOG, ExitCode
from dsb.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from dsb.benchmarks.layout import TaskStats
    from dsb.benchmarks.merge import Merged
    from dsb.benchmarks.root import DataRoot
    from dsb.benchmarks.synth.generate import Generated
    from dsb.benchmarks.validate import Finding

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=EPILOG,
    help="Make, check, count and divide benchmark items.\n\n"
    "Example: dsb data synth data/synth --sessions 8",
)

Root = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="A data root: it holds `final/`, or lies beside it."),
]
RootOrFile = Annotated[
    Path, typer.Argument(metavar="DATA", help="A data root, or one file of items.")
]
Shards = Annotated[int, typer.Option("--shards", min=1, help="Parts for parallel runs.")]


class Level(StrEnum):
    """Difficulty of synthetic streams."""

    EASY = "easy"
    DEFAULT = "default"
    HARD = "hard"


class Split(StrEnum):
    """Which held-out seeds the streams come from."""

    DEV = "dev"
    TEST = "test"


@app.command("synth", epilog=EPILOG)
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Data root to write.")],
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="Number of streams.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, max=9999, help="Which streams.")] = 0,
    level: Annotated[
        Level, typer.Option("--level", help="60, 120 or 300 s of stream; how far questions reach.")
    ] = Level.DEFAULT,
    split: Annotated[
        Split, typer.Option("--split", help="Held-out seeds from 10^9 (dev) or 2 * 10^9 (test).")
    ] = Split.DEV,
    per_format: Annotated[
        int,
        typer.Option(
            "--per-format", min=1, help="Open questions per task and stream; as many with options."
        ),
    ] = 3,
    shards: Annotated[
        int | None, typer.Option("--shards", min=1, help="Divide it anew for parallel runs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make synthetic streams as H.264 videos, with questions whose answers are known exactly.

    The same arguments give the same items and, with the same ffmpeg, the same pixels. Videos that
    are complete are kept, so an interrupted call is simply repeated.

    Example: dsb data synth data/synth --sessions 8 --seed 0 --level default
    """
    from dsb.benchmarks.synth.generate import Plan, generate
    from dsb.cli.display.bar import Counting

    plan = Plan(sessions, seed, level.value, split.value, per_format)
    with Counting("videos") as progress:
        made = generate(
            out, plan, shards=shards, progress=lambda done, total, _: progress(done, total)
        )
    _show_made(made, out, as_json)


@app.command("validate", epilog=EPILOG)
def validate(
    data: RootOrFile,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Where the videos lie, if not below DATA."),
    ] = None,
    videos: Annotated[
        bool, typer.Option("--videos/--no-videos", help="Check the videos too.")
    ] = True,
    decode: Annotated[
        bool,
        typer.Option(
            "--decode/--no-decode", help="Decode every video to its end (slow for hours)."
        ),
    ] = True,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Rewrite what has one possible mending, and say what."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Find wrong items: times, options, answers, ids, dialogues, and missing or broken videos.

    A data root is checked with all files below `final/`, those of memory_ablation included. Every
    finding names file, item, field and remedy. The exit status is 2 if an error is left.

    Example: dsb data validate data/synth
    """
    from dsb.benchmarks.layout import item_files
    from dsb.benchmarks.validate import validate_files
    from dsb.cli.display.bar import Counting

    if data.is_dir():
        root = _find(data)
        files, below = item_files(root.items_dir), data_dir or root.video_dir
    else:
        files, below = [data], data_dir or _root_of(data)
    checked = below if videos else None
    with Counting("videos checked") as progress:
        findings = validate_files(files, checked, fix=fix, decode=decode, progress=progress)
    errors = sum(finding.severity == "error" for finding in findings)
    _show_findings(findings, len(files), errors, as_json)
    if errors:
        raise typer.Exit(ExitCode.USAGE)


@app.command("stats", epilog=EPILOG)
def stats(data: RootOrFile, as_json: Json = False) -> None:
    """Count items, videos, formats and triggers per task, with the chance of a guess.

    Each file of memory_ablation has a line of its own, which counts nowhere else.

    Example: dsb data stats data/synth
    """
    from dsb.benchmarks import layout
    from dsb.benchmarks.item import load_items
    from dsb.cli.display import console

    found = (
        layout.root_stats(_find(data).items_dir)
        if data.is_dir()
        else layout.stats(load_items(data))
    )
    if as_json:
        console.show_json({task: asdict(each) for task, each in found.items()})
    else:
        console.show(_stats_table(found))


@app.command("merge", epilog=EPILOG)
def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Data root to write.")],
    roots: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Data roots to join.")],
    shards: Shards = 1,
    as_json: Json = False,
) -> None:
    """Join data roots into a new one; videos are hard links where possible.

    Files of memory_ablation that have the same name become one.

    Example: dsb data merge data/all data/easy data/hard
    """
    from dsb.benchmarks.merge import merge_roots

    merged = merge_roots(out, [_find(root) for root in roots], shards)
    _show_merged(merged, out, len(roots), as_json)


@app.command("shard", epilog=EPILOG)
def shard(data: Root, shards: Shards = 4, as_json: Json = False) -> None:
    """Divide a benchmark into parts of similar size; the items of a video stay together.

    The files of memory_ablation stay whole.

    Example: dsb data shard data/synth --shards 4
    """
    from dsb.benchmarks.item import load_items
    from dsb.benchmarks.layout import all_items_file, write_shards

    folder = _find(data).items_dir
    _show_files(write_shards(folder, load_items(all_items_file(folder)), shards), as_json)
    _say_undivided(folder)


@app.command("mini", epilog=EPILOG)
def mini(
    data: Root,
    per_task: Annotated[
        int, typer.Option("--per-task", min=1, help="Items of every task from each shard.")
    ] = 2,
    shards: Annotated[
        int | None, typer.Option("--shards", min=1, help="Default: as many as in final/shards.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a few items of every task from each shard, for a quick look.

    The files of memory_ablation stay whole.

    Example: dsb data mini data/synth --per-task 2
    """
    from dsb.benchmarks.item import load_items
    from dsb.benchmarks.layout import all_items_file, count_shards, write_minis

    folder = _find(data).items_dir
    shards = shards or count_shards(folder)
    _show_files(write_minis(folder, load_items(all_items_file(folder)), shards, per_task), as_json)
    _say_undivided(folder)


def _show_made(made: Generated, out: Path, as_json: bool) -> None:
    from dsb.benchmarks.layout import all_items_file, stats
    from dsb.cli.display import console

    if as_json:
        console.show_json(
            {
                "data_dir": str(out),
                "items": len(made.items),
                "sessions": made.videos_written + made.videos_kept,
                "videos_written": made.videos_written,
                "videos_kept": made.videos_kept,
            }
        )
        return
    console.show(_stats_table(stats(made.items)))
    console.note(f"{made.videos_written} videos written, {made.videos_kept} kept")
    console.show_paths({"items": all_items_file(out), "videos": out / "videos"})
    console.show_next(f"dsb run quickstart -s dataset.data_dir={out} -s dataset.synth=null")


def _show_findings(findings: list[Finding], files: int, errors: int, as_json: bool) -> None:
    from rich.text import Text

    from dsb.cli.display import console

    if as_json:
        listed = [finding.to_json() for finding in findings]
        console.show_json({"files": files, "errors": errors, "findings": listed})
    else:
        for finding in findings:
            console.console().print(Text(str(finding)), soft_wrap=True)
        console.note(f"{files} files checked, {errors} errors, {len(findings)} findings")


def _show_merged(merged: Merged, out: Path, roots: int, as_json: bool) -> None:
    from dsb.benchmarks.layout import MEMORY_ABLATION, all_items_file
    from dsb.cli.display import console

    ablation = {name: len(items) for name, items in merged.memory_ablation.items()}
    if as_json:
        found = {"data_dir": str(out), "items": len(merged.items), MEMORY_ABLATION: ablation}
        console.show_json(found)
        return
    console.note(f"{len(merged.items)} items of {roots} data roots")
    for name, count in ablation.items():
        console.note(f"{count} items in {MEMORY_ABLATION}/{name}")
    console.show_paths({"items": all_items_file(out)})


def _find(data: Path) -> DataRoot:
    """The data root at `data`, with a note where its items were found elsewhere."""
    from dsb.benchmarks.root import find_root
    from dsb.cli.display import console

    root = find_root(data)
    if root.note:
        console.note(root.note)
    return root


def _say_undivided(items_dir: Path) -> None:
    from dsb.benchmarks.layout import ablation_files, ablation_name
    from dsb.cli.display import console

    names = ", ".join(map(ablation_name, ablation_files(items_dir)))
    if names:
        console.note(f"not divided: {names}; dataset.shard=I/N runs a part of them")


def _root_of(file: Path) -> Path:
    """The data root that a file of items lies in, by its `final` folder; else its own folder."""
    for parent in file.absolute().parents:
        if parent.name == "final":
            return parent.parent
    return file.parent


def _show_files(files: list[Path], as_json: bool) -> None:
    from dsb.cli.display import console

    if as_json:
        console.show_json({"files": [str(file) for file in files]})
    else:
        console.show_paths({str(number): file for number, file in enumerate(files, start=1)})


def _stats_table(found: Mapping[str, TaskStats]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("task")
    for name in ("items", "videos", "open", "choice", "yes/no", "event", "triggers"):
        table.add_column(name, justify="right")
    table.add_column("chance", justify="right")
    table.add_column("look-back", justify="right")
    for task, each in found.items():
        formats = (each.formats.get(name, 0) for name in ("open", "choice", "yes_no", "event"))
        table.add_row(
            task,
            *(str(number) for number in (each.items, each.videos, *formats, each.triggers)),
            "-" if each.chance is None else f"{each.chance:.2f}",
            "-" if each.lookback_s is None else f"{each.lookback_s:.0f} s",
        )
    return table
