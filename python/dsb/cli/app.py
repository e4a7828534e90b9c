"""The entry point `dsb`: collects the verbs and turns errors into one clear message.

Nothing here or in the modules of the verbs imports more than typer and the standard library;
everything else is imported when a verb runs, so that `dsb --help` is there at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import dsb
from dsb.cli import data, experiment, models, report, results, run, score
from dsb.cli.doctor import doctor
from dsb.cli.exit_codes import EPILOG, exit_code_of

app = typer.Typer(
    name="dsb",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
)
app.command("run", epilog=EPILOG)(run.run)
app.command("score", epilog=EPILOG)(score.score)
app.command("report", epilog=EPILOG)(report.report)
app.add_typer(results.app, name="results")
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(experiment.app, name="experiment")
app.command("doctor", epilog=EPILOG, short_help="Check what is installed and what is missing.")(
    doctor
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dsb {dsb.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (anywhere on the line).")
    ] = False,
) -> None:
    """Evaluate streaming video understanding with two systems: a fast S1, a slow S2 and a router.

    Start with `dsb run quickstart`, which needs no data, no GPU and no network, and `dsb doctor`,
    which says what is installed. Every verb has --help with an example and --json for machines.

    Example: dsb run quickstart
    """


def main() -> None:
    """Run the command line; the exit status is one of `dsb.cli.exit_codes`."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(arguments, prog_name="dsb")
    except Exception as error:  # the outermost door: every error becomes one message
        if debug:
            raise
        from dsb.cli.display.console import show_error

        show_error(error)
        sys.exit(exit_code_of(error))


if __name__ == "__main__":
    main()
