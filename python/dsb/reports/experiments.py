"""What an experiment found: a table for people, an object for programs, a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsb.atomic import write_json, write_text
from dsb.experiments.measure import Agreement, Measured
from dsb.experiments.reuse import ReuseRow
from dsb.experiments.stride import StrideResult
from dsb.reports.drawing import (
    BLUE,
    GREEN,
    PALE_BLUE,
    PURPLE,
    SYSTEM_COLORS,
    panels,
    svg_text,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SYSTEMS = ("s1", "s2")
_WAITING = (
    "waiting: frames that have come and are not read, at the end and at most, if they come that many times faster "
    "than the video shows them; simulated from the mean measured times"
)
#: Differences that are named one by one.
_NAMED = 5
#: Of a figure, (width, height) in inches.
_SIZE = (10.2, 3.2)


@dataclass(frozen=True)
class ExperimentReport:
    """A table with its title, remarks under it, a figure and everything as JSON."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    data: dict[str, Any]
    figure: Figure

    def write(self, folder: Path) -> dict[str, Path]:
        """Write `result.json`, `table.md` and `figure.svg` into `folder`; returns their paths."""
        paths = {
            "result": folder / "result.json",
            "table": folder / "table.md",
            "figure": folder / "figure.svg",
        }
        write_json(paths["result"], self.data)
        write_text(paths["table"], self.markdown())
        write_text(paths["figure"], svg_text(self.figure))
        return paths

    def markdown(self) -> str:
        """The table and the remarks."""
        lines = [f"# {self.title}", "", _line(self.heads), _line(["---"] * len(self.heads))]
        lines += [_line(row) for row in self.rows]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]) + "\n"


def stride_report(result: StrideResult) -> ExperimentReport:
    """Ingest rate, time to the first token, backlog and answers per stride."""
    heads = ["stride", "ingest frames/s", "keeps up to", *_ttft_heads()]
    heads += [f"waiting at {speed}x" for speed in result.speeds] + ["answers"]
    rows, data = [], []
    for row in result.rows:
        ingest = row.measured.ingest_fps or 0.0
        keeps_up = ingest / float(result.fps)
        waiting = [f"{each.at_end} / {each.most}" for each in row.backlog.values()]
        rows.append(
            [
                str(row.stride), f"{ingest:.1f}", f"{keeps_up:.1f}x", *_ttft_cells(row.measured),
                *waiting, _answers(row.agreement),
            ]
        )  # fmt: skip
        data.append(
            {
                "prefill_stride": row.stride,
                "ingest_frames_per_s": ingest,
                "keeps_up_to_speed": keeps_up,
                "backlog_frames": {
                    str(speed): {"at_end": each.at_end, "most": each.most}
                    for speed, each in row.backlog.items()
                },
                **_as_json(row.measured, row.agreement),
            }
        )
    notes = [_WAITING, "time to first token includes reading what waits when the question comes"]
    notes += _warnings([(str(row.stride), row.agreement) for row in result.rows])
    if result.identical:
        notes.append("every answer is the same at every stride")
    return ExperimentReport(
        "Prefill stride", heads, rows, notes,
        {"experiment": "stride", "identical": result.identical, "rows": data},
        _draw_stride(result),
    )  # fmt: skip


def reuse_report(rows: Sequence[ReuseRow]) -> ExperimentReport:
    """Time, work and answers per setting of `reuse`."""
    heads = [
        "reuse", "wall s", "language model s", "vision s", "tokens computed", "frames encoded",
        *_ttft_heads(), "answers",
    ]  # fmt: skip
    table, data = [], []
    for row in rows:
        found = row.measured
        table.append(
            [
                row.reuse, f"{found.wall_ns / 1e9:.1f}", f"{found.model_ns / 1e9:.2f}",
                f"{found.encode_ns / 1e9:.2f}", str(found.tokens_computed),
                f"{found.frames_encoded} (+{found.frames_provisional})", *_ttft_cells(found),
                _answers(row.agreement),
            ]
        )  # fmt: skip
        data.append({"reuse": row.reuse, "evicts": row.evicts, **_as_json(found, row.agreement)})
    notes = [
        "answers: compared with those under `none`; + are provisional encodings of a lone frame"
    ]
    notes += [
        f"{row.reuse}: {row.measured.patches_evicted} temporal patches left a window while keys and values that had "
        "attended to them stayed; from then on this is another, specified attention pattern, so answers may differ "
        "(window.kv=strict prefills such windows again and answers as `none` does)"
        for row in rows
        if row.evicts
    ]
    notes += _warnings([(row.reuse, row.agreement) for row in rows if not row.evicts])
    return ExperimentReport(
        "Reuse", heads, table, notes, {"experiment": "reuse", "rows": data}, _draw_reuse(rows)
    )


def _ttft_heads() -> list[str]:
    return [f"{name.upper()} TTFT p50 / p95 ms" for name in _SYSTEMS]


def _ttft_cells(found: Measured) -> list[str]:
    cells = []
    for system in _SYSTEMS:
        p50, p95 = found.ttft(system, 0.5), found.ttft(system, 0.95)
        known = p50 is not None and p95 is not None
        cells.append(
            f"{p50.value / 1e6:.1f} / {p95.value / 1e6:.1f}" if p50 and p95 and known else "-"
        )
    return cells


def _answers(found: Agreement) -> str:
    if found.identical:
        return f"{found.compared} same"
    if not found.different:
        return f"{found.compared} same, numbers differ by {found.largest:.2g}"
    return f"{len(found.different)} of {found.compared} DIFFER"


def _warnings(found: Sequence[tuple[str, Agreement]]) -> list[str]:
    """One loud remark for each variant whose answers should be the same and are not."""
    texts = []
    for name, each in found:
        if each.identical:
            continue
        named = ", ".join(f"{query} ({system})" for query, system in each.different[:_NAMED])
        texts.append(
            f"WARNING: the answers of {name} are not those of the first row: {len(each.different)} differ"
            f"{f' ({named}, ...)' if named else ''}, numbers by up to {each.largest:.2g}. In float32 this is a bug; "
            "in lower precision near ties may fall the other way"
        )
    return texts


def _as_json(found: Measured, same: Agreement) -> dict[str, Any]:
    """Times in nanoseconds."""
    ttft = {}
    for system in _SYSTEMS:
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            estimate = found.ttft(system, share)
            if estimate is not None:
                ttft[f"{system}_{name}"] = [estimate.value, estimate.low, estimate.high]
    return {
        "run_dir": str(found.run_dir),
        "wall_ns": found.wall_ns,
        "encode_ns": found.encode_ns,
        "model_ns": found.model_ns,
        "prefill_ns": found.prefill_ns,
        "tokens_computed": found.tokens_computed,
        "frames_encoded": found.frames_encoded,
        "frames_provisional": found.frames_provisional,
        "patches_evicted": found.patches_evicted,
        "model_calls": found.model_calls,
        "ttft_ns": ttft,
        "answers": {
            "compared": same.compared,
            "different": [list(key) for key in same.different],
            # Without the same number of candidates there is no difference to speak of.
            "largest_difference": same.largest if same.largest != float("inf") else None,
            "identical": same.identical,
        },
    }


def _draw_stride(result: StrideResult) -> Figure:
    figure, (rate, first, waiting) = panels(3, *_SIZE)
    strides = [row.stride for row in result.rows]
    rate.plot(strides, [row.measured.ingest_fps or 0.0 for row in result.rows], "o-", color=BLUE)
    rate.set_ylabel("ingest (frames/s)")
    for share, style in ((0.5, "o-"), (0.95, "s--")):
        found = [row.measured.ttft("s2", share) for row in result.rows]
        values = [float("nan") if each is None else each.value / 1e6 for each in found]
        first.plot(
            strides, values, style, color=SYSTEM_COLORS["s2"], label=f"S2 p{share * 100:.0f}"
        )
    first.set_ylabel("time to first token (ms)")
    first.legend(frameon=False, fontsize=8)
    for speed in result.speeds:
        values = [row.backlog[speed].at_end for row in result.rows]
        waiting.plot(strides, values, "o-", label=f"{speed}x")
    waiting.set_ylabel("frames waiting at the end")
    waiting.set_yscale("symlog")
    waiting.legend(frameon=False, fontsize=8, title="speed of the stream", title_fontsize=8)
    for axes in (rate, first, waiting):
        axes.set_ylim(bottom=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(strides, [str(stride) for stride in strides])
        axes.minorticks_off()
        axes.set_xlabel("prefill_stride (temporal patches)")
    return figure


def _draw_reuse(rows: Sequence[ReuseRow]) -> Figure:
    figure, (spent, tokens, frames) = panels(3, *_SIZE)
    names = [row.reuse for row in rows]
    vision = [row.measured.encode_ns / 1e9 for row in rows]
    spent.bar(names, vision, color=PALE_BLUE, label="vision")
    model = [row.measured.model_ns / 1e9 for row in rows]
    spent.bar(names, model, bottom=vision, color=BLUE, label="language model")
    spent.set_ylabel("wall time (s)")
    spent.legend(frameon=False, fontsize=8)
    tokens.bar(names, [row.measured.tokens_computed for row in rows], color=PURPLE)
    tokens.set_ylabel("tokens computed")
    frames.bar(names, [row.measured.frames_encoded for row in rows], color=GREEN)
    frames.set_ylabel("frames encoded")
    return figure


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
