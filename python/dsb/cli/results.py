"""`dsb results check`: is everything there that a run was to find."""

from __future__ import annotations

import typer

from dsb.cli.exit_codes import EPILOG, ExitCode
from dsb.cli.options import Json, RunDirectory, open_known_run

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=EPILOG,
    help="Look into the results of runs.\n\nExample: dsb results check results/quickstart-1a2b3c4d",
)


@app.callback()
def _results() -> None:
    """Keep `check` a verb of its own while it is the only one."""


@app.command("check", epilog=EPILOG)
def check(run: RunDirectory, as_json: Json = False) -> None:
    """Say which sessions and queries of a run are missing, failed or doubled.

    The exit status is 0 for a complete run and 1 otherwise.

    Example: dsb results check results/quickstart-1a2b3c4d
    """
    from dsb.cli.display import console
    from dsb.runlog.completeness import check_run

    found = check_run(open_known_run(run))
    if as_json:
        console.show_json(found.to_json())
    else:
        console.show(found.text())
        if not found.complete:
            console.show_next(found.remedy)
    if not found.complete:
        raise typer.Exit(ExitCode.INCOMPLETE)
