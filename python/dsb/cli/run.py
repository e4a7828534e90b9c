"""`dsb run`: one configuration, played, scored and shown."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsb.cli.exit_codes import ExitCode
from dsb.cli.options import Json

if TYPE_CHECKING:
    from dsb.analysis.summary.schema import Summary
    from dsb.config.load import LoadedConfig
    from dsb.evaluation.run import RunResult


class Mode(StrEnum):
    """How videos are played."""

    STREAM = "stream"
    OFFLINE = "offline"


def run(
    config: Annotated[
        str,
        typer.Argument(metavar="CONFIG", help="A YAML file, or the name of one in the package."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("-s", "--set", metavar="KEY=VALUE", help="Set any value; can be repeated."),
    ] = None,
    max_samples: Annotated[
        int | None,
        typer.Option("--max-samples", "--max_samples", min=1, help="Only the first N items."),
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option("--mode", help="One session per video, or every item on its own decode."),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmark", metavar="TASK", help="A task set, memory_ablation, or a file of items."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run, and repeat what failed in it.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Set an earlier run aside and begin anew.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run an evaluation and score its answers.

    Plays every video once, asks the questions at their times, and scores what S1, S2 and the
    routers said.

    Results go into one folder per run, below `output.dir` (results/ by default). The same command
    again reuses a complete run; an interrupted one continues with --resume and loses at most the
    session that was playing.

    With --json the last line on standard output is one object: run_dir, identity, state, sessions
    and queries (total, done, failed, resumed), summary (path).

    Example: dsb run quickstart --max-samples 40 -s video.fps=1
    """
    from dsb.evaluation.configuration import load_run_config

    settings = list(overrides or [])
    for key, value in (
        ("dataset.max_samples", max_samples),
        ("stream.mode", mode),
        ("dataset.benchmark", benchmark),
    ):
        if value is not None:
            settings.append(f"{key}={value}")
    loaded = load_run_config(config, settings)
    if dry_run:
        _show_plan(loaded, as_json=as_json)
        return
    result = _execute(loaded, resume=resume, fresh=fresh)
    command = shlex.join(["dsb", "run", config, *(part for s in settings for part in ("-s", s))])
    raise typer.Exit(_conclude(result, command, as_json=as_json))


def _show_plan(loaded: LoadedConfig, *, as_json: bool) -> None:
    from dataclasses import asdict

    from dsb.cli.display import console
    from dsb.evaluation.preview import describe, preview

    found = preview(loaded.config)
    if as_json:
        console.show_json(asdict(found))
    else:
        console.show_pairs(describe(found))


def _execute(loaded: LoadedConfig, *, resume: bool, fresh: bool) -> RunResult:
    from dsb.cli.display.run_progress import ProgressDisplay
    from dsb.evaluation.run import execute

    with ProgressDisplay() as display:
        return execute(loaded, resume=resume, fresh=fresh, display=display)


def _conclude(result: RunResult, command: str, *, as_json: bool) -> ExitCode:
    """Score what is there, show it, and say what comes next."""
    from dsb.cli.display import console

    summary = _score(result)
    if as_json:
        console.show_json(_as_json(result, scored=summary is not None))
    else:
        if summary is not None:
            from dsb.reports.terminal import render

            console.show(render(summary))
            paths = {"results": result.run_dir, "summary": result.run_dir / "summary.json"}
            console.show_paths(paths)
        complete = (result.state == "complete" and not result.queries.failed) or result.live
        console.show_next(f"dsb report {result.run_dir}" if complete else f"{command} --resume")
    if result.reason:
        console.note(result.reason)
    if result.state == "interrupted":
        return ExitCode.INTERRUPTED
    unfinished = result.state != "complete" or result.queries.failed
    return ExitCode.INCOMPLETE if unfinished else ExitCode.OK


def _score(result: RunResult) -> Summary | None:
    """The summary of the complete sessions; `None` before the first one."""
    if not result.sessions.done:
        return None
    from dsb.analysis.summary.score import score_run
    from dsb.runlog.run import open_run

    return score_run(open_run(result.run_dir))


def _as_json(result: RunResult, *, scored: bool) -> dict[str, object]:
    from dataclasses import asdict

    summary: Path | None = result.run_dir / "summary.json" if scored else None
    return {
        "run_dir": str(result.run_dir),
        "identity": result.identity,
        "state": result.state,
        "sessions": asdict(result.sessions),
        "queries": asdict(result.queries),
        "summary": None if summary is None else str(summary),
    }
