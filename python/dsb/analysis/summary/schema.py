"""`summary.json`, schema `dsb-summary/1`: everything that a run found, on one page."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dsb.analysis.statistics import Estimate
from dsb.analysis.summary.tradeoff import Bin, Point

SUMMARY_SCHEMA = "dsb-summary/1"
#: All tasks together.
OVERALL = "overall"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Cell(_Model):
    """One number of one arm with its 95 % interval, clustered by video."""

    metric: str
    """`accuracy`, `f1_1s` or `item_score`, and what else a cell of this table may be."""
    n: int
    """Items (or queries) behind the value."""
    value: float
    """The point estimate."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    @classmethod
    def of(cls, metric: str, estimate: Estimate) -> Cell:
        """From an estimate."""
        return cls(
            metric=metric,
            n=estimate.n,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
        )


class ArmCost(_Model):
    """What one arm costs per query."""

    s2_share: Cell | None
    """Share of questions that S2 answered."""
    s2_share_ticks: Cell | None
    """Share of ticks that S2 decided."""
    service_p50_ms: Cell | None
    """Median wall time of a question, routing and both systems included."""
    service_p95_ms: Cell | None
    """95th percentile of the same."""
    input_tokens: Cell | None
    """Mean tokens that a question made the models read."""
    output_tokens: Cell | None
    """Mean tokens that a question made the models write."""
    tick_p50_ms: Cell | None
    """Median wall time of one tick of one standing instruction."""
    tick_p95_ms: Cell | None
    """95th percentile of the same."""


class Work(_Model):
    """What the machine did for the whole run."""

    sessions: int
    """Sessions in the log that are complete."""
    stream_seconds: float
    """Stream time that was played."""
    wall_seconds: float
    """Wall time of all sessions, added up."""
    frames_decoded: int
    """Frames that came out of the decoder at the sampling rate."""
    frames_encoded: int
    """Frames whose temporal patch went through the vision tower."""
    frames_provisional: int
    """Extra encodings of a lone newest frame."""
    model_calls: int
    """Calls of a model, ticks included."""
    decode_seconds: float
    """CPU time of the decoder."""
    model_seconds: float
    """Wall time inside the language models; encoding frames is not part of it."""


class Live(_Model):
    """How the live stream of a run arrived. Delays are those behind the fastest frame."""

    frames_come: int
    """Frames that the source delivered."""
    frames_dropped: int
    """Those of them that were overwritten before a system took them."""
    gaps: int
    """Outages."""
    gap_seconds: float
    """Stream time in them."""
    ring_p50_ms: float
    """Median delay from capture to the ring."""
    ring_p95_ms: float
    """95th percentile of the same."""
    window_p50_ms: float | None
    """Median delay from capture to the first window; `None` if no frame was shown."""
    window_p95_ms: float | None
    """95th percentile of the same."""


class QueryCounts(_Model):
    """How many queries there were and what became of them."""

    total: int
    """Scored and unscored questions and standing instructions of the plan."""
    done: int
    """Answered by every system that was asked."""
    failed: int
    """Ended in an error."""


class EvidenceRow(_Model):
    """Answers of one system where its window held all the evidence, and where it did not."""

    inside: Cell | None
    """Accuracy on items whose evidence lies in the window."""
    outside: Cell | None
    """Accuracy on items with evidence outside the window."""


class Tradeoff(_Model):
    """What another threshold or another window would have done; over questions that both systems answered."""

    cascade: list[Point]
    """Accuracy against S2's share when S2 takes over below a confidence of S1."""
    oracle: Point | None
    """The best possible router: S2 exactly where only S2 is right."""
    lookback: list[Bin]
    """Accuracy by the distance between question and first evidence."""


class Summary(_Model):
    """The whole page."""

    schema_: Literal["dsb-summary/1"] = Field("dsb-summary/1", alias="schema")
    """Name and version of this format."""
    run: str
    """Name of the run directory."""
    identity: str
    """Identity of the run: what it found depends on nothing else."""
    protocol: str
    """Rule set behind prompts and scores."""
    mode: Literal["stream", "offline"]
    """How the videos were played."""
    videos: int
    """Clusters of the intervals."""
    queries: QueryCounts
    """Completeness."""
    scores: dict[str, dict[str, Cell]]
    """`scores[task][arm]` over answered items; tasks plus `overall`; arms `s1`, `s2`, `router:<name>`, `blind`."""
    scores_all: dict[str, dict[str, Cell]]
    """The same with failed items counted as wrong; equal to `scores` when nothing failed."""
    proactive: dict[str, dict[str, Cell]]
    """`proactive[metric][arm]`: F1 at 1 s and at 2 s, false alarms per quiet hour."""
    chance: dict[str, float]
    """Expected score of a uniform guess per task."""
    costs: dict[str, ArmCost]
    """Per arm."""
    evidence: dict[str, EvidenceRow]
    """Per system."""
    confidence_auroc: dict[str, float]
    """Per system: how well its confidence tells its right answers from its wrong ones."""
    tradeoff: Tradeoff | None
    """`None` unless both systems answered."""
    work: Work
    """Counters."""
    live: Live | None = None
    """Of a run on a live source."""
    warnings: tuple[str, ...]
    """What a reader must know before quoting a number."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )
