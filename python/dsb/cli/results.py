"""`dsb results check`: is everything there that a run was to find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dsb.cli.exit_codes import EPILOG, ExitCode
from dsb.cli.options import Json, RunDirectory, check_run_directory

if TYPE_CHECKING:
    from dsb.evaluation.completeness import Completeness

#: Ids in a text for people; --json names all.
_SHOWN = 10

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
    from dsb.cli import display
    from dsb.evaluation.completeness import check

    found = check(check_run_directory(run))
    if as_json:
        display.show_json(_as_json(found))
    else:
        display.show_pairs(_describe(found))
        if found.missing or found.failed:
            display.show_next(f"dsb run {run / 'run.yaml'} --resume")
    if not found.ok:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _as_json(found: Completeness) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(found), "run_dir": str(found.run_dir), "ok": found.ok}


def _describe(found: Completeness) -> list[tuple[str, str]]:
    rows = [
        ("sessions", f"{found.sessions_done} of {found.sessions} complete"),
        ("queries", f"{found.queries_done} of {found.queries} answered"),
        ("log", f"{found.segments} segments, {found.repeated} repeated attempts"),
    ]
    causes = tuple(f"{each.query} ({each.system}, {each.type})" for each in found.failed)
    skipped = tuple(f"{query} ({reason})" for query, reason in found.skipped)
    for label, names in (
        ("unfinished", found.unfinished),
        ("missing", found.missing),
        ("failed", causes),
        ("doubled", found.doubled),
        ("unknown", found.unknown),
        ("skipped", skipped),
    ):
        if names:
            more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            rows.append((label, f"{len(names)}: {', '.join(names[:_SHOWN])}{more}"))
    rows.append(("verdict", "complete" if found.ok else "incomplete"))
    return rows
