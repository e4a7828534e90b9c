"""`dsb doctor`: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsb.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from dsb.doctor import Check


def doctor(
    results: Annotated[
        Path, typer.Option("--results", help="Folder in which runs are kept.")
    ] = Path("results"),
    file: Annotated[
        Path | None, typer.Option("--file", help="Also look at this video and decode its start.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check this machine: decoder and codecs, torch and devices, disk, caches, optional parts.

    Every line that is not "ok" comes with the command that mends it. Exit status 3 if something
    is missing without which nothing runs.

    Example: dsb doctor --file lecture.mp4
    """
    from dataclasses import asdict

    from dsb.cli.display import console
    from dsb.cli.exit_codes import ExitCode
    from dsb.doctor import examine

    checks = examine(results_dir=results, video=file)
    healthy = all(check.status != "fail" for check in checks)
    if as_json:
        console.show_json({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    else:
        console.show(_table(checks))
    if not healthy:
        raise typer.Exit(ExitCode.FAILED)


def _table(checks: list[Check]) -> Table:
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        finding = Text(check.found)
        if check.remedy:
            finding.append(f"\n-> {check.remedy}", style="bold")
        table.add_row(Text(check.status, style=colours[check.status]), Text(check.name), finding)
    return table
