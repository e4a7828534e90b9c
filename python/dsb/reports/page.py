"""`report.html`: one file that explains a run and needs nothing beside it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from dsb.analysis.summary.schema import Summary
from dsb.atomic import write_text
from dsb.reports.figures import draw_figures
from dsb.reports.rows import (
    arm_label,
    arm_names,
    confidence_text,
    cost_rows,
    format_cell,
    score_rows,
    work_lines,
)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left } .note { color: #666 } .warning { color: #a15c00 }
figure { margin: 1.5rem 0; overflow-x: auto } figcaption { color: #444; max-width: 45rem }
"""

_CAPTIONS = {
    "scores": "Score per task and arm; bars end at the point estimate, whiskers span the 95 % interval "
    "(videos resampled), the dotted line is what a uniform guess scores.",
    "cost_accuracy": "Overall score against how often S2 answers. The grey line sweeps the threshold on S1's "
    "confidence over the questions; the dotted line mixes S1 and S2 at random.",
    "lookback": "Accuracy by how long before the question its first evidence lies. S1 falls off where the "
    "evidence leaves its window.",
}


def write_report(run_dir: Path, summary: Summary) -> Path:
    """Write `report.html` and `figures/*.svg` into the run directory; returns the page's path."""
    figures = draw_figures(summary)
    for name, svg in figures.items():
        write_text(run_dir / "figures" / f"{name}.svg", svg)
    page = run_dir / "report.html"
    write_text(page, render_page(summary, figures))
    return page


def render_page(summary: Summary, figures: dict[str, str]) -> str:
    """The page as text; `figures` are SVG documents by name."""
    arms = arm_names(summary.scores)
    heads = [arm_label(arm) for arm in arms]
    scores = _table(
        "Scores with 95 % intervals, clustered by video",
        ["task", "items", *heads],
        [[name, about, *texts] for name, about, texts in score_rows(summary)],
    )
    costs = _table(
        "Costs",
        ["quantity", *heads],
        [[label, *texts] for label, texts in cost_rows(summary.costs, arms)],
    )
    proactive = _table(
        "Standing instructions",
        ["metric", *heads],
        [
            [metric, *(format_cell(cells.get(arm)) for arm in arms)]
            for metric, cells in summary.proactive.items()
        ],
    )
    evidence = _table(
        "Accuracy where the window held the evidence, and where it did not",
        ["system", "inside", "n", "outside", "n"],
        [
            [
                arm_label(system),
                format_cell(row.inside),
                str(row.inside.n if row.inside else 0),
                format_cell(row.outside),
                str(row.outside.n if row.outside else 0),
            ]
            for system, row in summary.evidence.items()
        ],
    )
    warnings = "".join(f'<p class="warning">{html.escape(text)}</p>' for text in summary.warnings)
    drawn = "".join(
        f"<figure>{svg[svg.index('<svg') :]}<figcaption>{html.escape(_CAPTIONS[name])}</figcaption></figure>"
        for name, svg in figures.items()
    )
    title = html.escape(summary.run)
    under = "".join(f'<p class="note">{html.escape(line)}</p>' for line in work_lines(summary))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p class="note">{html.escape(_subtitle(summary))}</p>{warnings}'
        f"{scores}{drawn}{costs}{proactive}{evidence}"
        f"{under}</body></html>\n"
    )


def _subtitle(summary: Summary) -> str:
    counts = summary.queries
    return (
        f"identity {summary.identity}, protocol {summary.protocol}, mode {summary.mode}, "
        f"{summary.videos} videos, {counts.done} of {counts.total} queries done, {counts.failed} failed. "
        f"AUROC of confidence for being right: {confidence_text(summary) or 'unknown'}."
    )


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )
