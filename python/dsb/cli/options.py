"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

RunDirectory = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run directory, such as results/quickstart-1a2b3c4d."),
]


def check_run_directory(run_dir: Path) -> Path:
    """The folder, if it holds a run. Raises `RunError` with the runs that are there."""
    from dsb.errors import RunError

    if (run_dir / "manifest.json").is_file():
        return run_dir
    kind = "is not a run directory" if run_dir.is_dir() else "does not exist"
    known = sorted(str(found.parent) for found in Path("results").glob("*/manifest.json"))
    remedy = f"Runs here: {', '.join(known[:8])}" if known else "Make one with: dsb run quickstart"
    raise RunError(f"{run_dir} {kind}. {remedy}")
