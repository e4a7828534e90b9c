"""`dsb experiment`: one configuration in several variants, and what differs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsb.cli.exit_codes import EPILOG, ExitCode
from dsb.cli.options import Json

if TYPE_CHECKING:
    from dsb.config.load import LoadedConfig
    from dsb.reports.experiments import ExperimentReport

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=EPILOG,
    help="Run one configuration in several variants and compare them.\n\n"
    "Example: dsb experiment stride stride",
)

_Config = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of one in the package.")
]
_Overrides = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="KEY=VALUE", help="Set any value; can be repeated."),
]
_Samples = Annotated[
    int | None,
    typer.Option("--max-samples", "--max_samples", min=1, help="Only the first N items."),
]
_Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder of the experiment and its runs."),
]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Set earlier runs aside and begin anew.")]


@app.command("stride", epilog=EPILOG)
def stride(
    config: _Config,
    strides: Annotated[
        str, typer.Option("--strides", metavar="N,N,...", help="Values of prefill_stride.")
    ] = "1,2,4,8,16",
    speeds: Annotated[
        str,
        typer.Option("--speeds", metavar="N,N,...", help="Speeds of the stream for the backlog."),
    ] = "1,10,100",
    overrides: _Overrides = None,
    max_samples: _Samples = None,
    out: _Out = None,
    fresh: _Fresh = False,
    as_json: Json = False,
) -> None:
    """Find out how many temporal patches should be prefilled together.

    Runs the configuration with `reuse: kv` and every stride, each an ordinary run that can be
    resumed. Shows how many frames per second are encoded and read, the time to the first token,
    how many frames would wait if they came faster, and that the answers are the same; the exit
    status is 1 if they are not.

    With --json the last line on standard output is one object: experiment, identical, rows.

    Example: dsb experiment stride stride --strides 1,4,16 --max-samples 40
    """
    from dsb.cli.display.run_progress import ProgressDisplay
    from dsb.experiments.stride import run_stride
    from dsb.reports.experiments import stride_report

    loaded = _load(config, overrides, max_samples)
    folder = _folder(loaded, out, "stride")
    numbers = _numbers("--strides", strides), _numbers("--speeds", speeds)
    with ProgressDisplay() as display:
        result = run_stride(loaded, *numbers, folder, fresh=fresh, display=display)
    _conclude(stride_report(result), folder, as_json=as_json)
    if not result.identical:
        raise typer.Exit(ExitCode.INCOMPLETE)


@app.command("reuse", epilog=EPILOG)
def reuse(
    config: _Config,
    overrides: _Overrides = None,
    max_samples: _Samples = None,
    out: _Out = None,
    fresh: _Fresh = False,
    as_json: Json = False,
) -> None:
    """Find out what reusing visual work saves, and whether an answer changes.

    Runs the configuration under `reuse: none`, `embed` and `kv`, each an ordinary run that can be
    resumed. Shows wall time, time inside the models, tokens computed, frames encoded, and how many
    answers differ.

    With --json the last line on standard output is one object: experiment, rows.

    Example: dsb experiment reuse quickstart --max-samples 40
    """
    from dsb.cli.display.run_progress import ProgressDisplay
    from dsb.experiments.reuse import run_reuse
    from dsb.reports.experiments import reuse_report

    loaded = _load(config, overrides, max_samples)
    folder = _folder(loaded, out, "reuse")
    with ProgressDisplay() as display:
        rows = run_reuse(loaded, folder, fresh=fresh, display=display)
    _conclude(reuse_report(rows), folder, as_json=as_json)


def _load(config: str, overrides: list[str] | None, max_samples: int | None) -> LoadedConfig:
    from dsb.evaluation.configuration import load_run_config

    settings = list(overrides or [])
    if max_samples is not None:
        settings.append(f"dataset.max_samples={max_samples}")
    return load_run_config(config, settings)


def _folder(loaded: LoadedConfig, out: Path | None, kind: str) -> Path:
    output = loaded.config.output
    return out or Path(output.dir) / "experiments" / f"{output.name}-{kind}"


def _numbers(option: str, text: str) -> list[int]:
    from dsb.errors import ConfigError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"{option} takes whole numbers with commas, not {text!r}") from error


def _conclude(report: ExperimentReport, folder: Path, *, as_json: bool) -> None:
    from dsb.cli.display import console

    paths = report.write(folder)
    if as_json:
        console.show_json({**report.data, "paths": {name: str(at) for name, at in paths.items()}})
        return
    console.show_table(report.title, report.heads, report.rows)
    for note in report.notes:
        console.note(note)
    console.show_paths(paths)
