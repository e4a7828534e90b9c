"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dsb.runlog.run import Run

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

RunDirectory = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run directory, such as results/quickstart-1a2b3c4d."),
]


def open_known_run(run_dir: Path) -> Run:
    """The run in this folder. Raises `RunError`, with the runs that are there if it holds none."""
    from dsb.errors import RunError
    from dsb.runlog.folder import MANIFEST, RunDir
    from dsb.runlog.run import open_run

    if RunDir(run_dir).exists:
        return open_run(run_dir)
    kind = "is not a run directory" if run_dir.is_dir() else "does not exist"
    known = sorted(str(found.parent) for found in Path("results").glob(f"*/{MANIFEST}"))
    remedy = f"Runs here: {', '.join(known[:8])}" if known else "Make one with: dsb run quickstart"
    raise RunError(f"{run_dir} {kind}. {remedy}")
