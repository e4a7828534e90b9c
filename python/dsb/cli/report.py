"""`dsb report`: the tables and figures of a run."""

from __future__ import annotations

from dsb.cli.options import Json, RunDirectory, open_known_run


def report(run: RunDirectory, as_json: Json = False) -> None:
    """Show the summary of a run and write report.html.

    The page, with its figures, is one file without network access; it can be sent to somebody as it is.

    Example: dsb report results/quickstart-1a2b3c4d
    """
    from dsb.analysis.summary.score import score_run
    from dsb.cli.display import console
    from dsb.reports.page import write_report
    from dsb.reports.terminal import render

    summary = score_run(open_known_run(run))
    page = write_report(run, summary)
    if as_json:
        paths = {"run_dir": str(run), "summary": str(run / "summary.json"), "report": str(page)}
        console.show_json(paths)
    else:
        console.show(render(summary))
        console.show_paths({"report": page, "summary": run / "summary.json"})
