"""`dsb score`: scores from a run log, without any model."""

from __future__ import annotations

from dsb.cli.options import Json, RunDirectory, open_known_run


def score(run: RunDirectory, as_json: Json = False) -> None:
    """Score a run again from its log; no model is called.

    Writes scores.jsonl (one line per answer) and summary.json (all numbers with their intervals)
    into the run directory and shows the summary.

    Example: dsb score results/quickstart-1a2b3c4d
    """
    from dsb.analysis.summary.score import score_run
    from dsb.cli.display import console
    from dsb.reports.terminal import render

    summary = score_run(open_known_run(run))
    if as_json:
        console.show_json(summary.model_dump(mode="json", by_alias=True))
    else:
        console.show(render(summary))
        console.show_paths({"summary": run / "summary.json", "scores": run / "scores.jsonl"})
        console.show_next(f"dsb report {run}")
