"""Rows to cells: scores, costs, proactive metrics, evidence; each with its interval clustered by video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from dsb.analysis import statistics
from dsb.analysis.arm import S1, S2, Arm
from dsb.analysis.arms import Outcome
from dsb.analysis.grade import Graded, Row
from dsb.analysis.statistics import Estimate
from dsb.analysis.summary.schema import OVERALL, ArmCost, Cell, EvidenceRow, Tradeoff
from dsb.analysis.summary.tradeoff import Paired, by_lookback, cascade, oracle
from dsb.benchmarks.item import TASKS
from dsb.benchmarks.protocol import Protocol
from dsb.runlog.run_data import RunData

FALSE_ALARMS = "false_alarms_per_quiet_hour"


def score_table(
    rows: Sequence[Row], arms: Sequence[Arm], protocol: Protocol, seed: int, *, with_failed: bool
) -> dict[str, dict[str, Cell]]:
    """`[task][arm]` with `overall` last, added up as `protocol` says; failed rows are wrong or absent."""
    table: dict[str, dict[str, Cell]] = {}
    for task in (*TASKS, OVERALL):
        for arm in arms:
            chosen = [
                row
                for row in rows
                if row.arm == str(arm)
                and (task in (row.task, OVERALL))
                and (with_failed or not row.failed)
            ]
            cell = _score_cell(task, chosen, protocol, seed)
            if cell is not None:
                table.setdefault(task, {})[str(arm)] = cell
    return table


def _score_cell(task: str, rows: Sequence[Row], protocol: Protocol, seed: int) -> Cell | None:
    videos = [row.video for row in rows]
    mean = statistics.mean([row.score for row in rows], videos, seed)
    if task == OVERALL:
        return _cell("item_score", mean)
    if protocol.aggregation == "mean":
        return _cell(protocol.metric(task), mean)
    ratio = statistics.ratio(
        [row.numerator for row in rows], [row.denominator for row in rows], videos, seed
    )
    return _cell(protocol.metric(task), ratio)


def proactive_table(
    graded: Mapping[Arm, Sequence[Graded]], protocol: Protocol, seed: int
) -> dict[str, dict[str, Cell]]:
    """`[metric][arm]` over the standing instructions."""
    table: dict[str, dict[str, Cell]] = {}
    for arm, all_of_arm in graded.items():
        events = [each for each in all_of_arm if each.grade.events and not each.outcome.failed]
        videos = [each.outcome.item.video for each in events]
        for metric in protocol.event_rules:
            counts = [each.grade.events[metric] for each in events]
            f1 = statistics.ratio(
                [2.0 * c.matched for c in counts],
                [float(c.emissions + c.targets) for c in counts],
                videos,
                seed,
            )
            _put(table, metric, arm, _cell(metric, f1))
            if metric == protocol.headline:
                alarms = statistics.ratio(
                    [3600.0 * c.false_alarms for c in counts],
                    [c.quiet_s for c in counts],
                    videos,
                    seed,
                )
                _put(table, FALSE_ALARMS, arm, _cell(FALSE_ALARMS, alarms))
    return table


def cost_of(outcomes: Sequence[Outcome], seed: int) -> ArmCost:
    """What one arm costs; questions and ticks apart."""
    questions = [d for d in outcomes if d.item.format != "event" and not d.failed]
    events = [d for d in outcomes if d.item.format == "event" and not d.failed]

    def mean_of(metric: str, value: Callable[[Outcome], float]) -> Cell | None:
        values = [value(d) for d in questions]
        return _cell(metric, statistics.mean(values, [d.item.video for d in questions], seed))

    def quantile_of(metric: str, some: Sequence[Outcome], q: float) -> Cell | None:
        values = [ns / 1e6 for d in some for ns in d.service_ns]
        videos = [d.item.video for d in some for _ in d.service_ns]
        return _cell(metric, statistics.quantile(values, videos, q, seed))

    def share_of(some: Sequence[Outcome]) -> Cell | None:
        estimate = statistics.ratio(
            [float(d.to_s2) for d in some],
            [float(d.decisions) for d in some],
            [d.item.video for d in some],
            seed,
        )
        return _cell("s2_share", estimate)

    return ArmCost(
        s2_share=share_of(questions),
        s2_share_ticks=share_of(events),
        service_p50_ms=quantile_of("service_p50_ms", questions, 0.5),
        service_p95_ms=quantile_of("service_p95_ms", questions, 0.95),
        input_tokens=mean_of("input_tokens", lambda d: d.input_tokens),
        output_tokens=mean_of("output_tokens", lambda d: d.output_tokens),
        tick_p50_ms=quantile_of("tick_p50_ms", events, 0.5),
        tick_p95_ms=quantile_of("tick_p95_ms", events, 0.95),
    )


def evidence_of(data: RunData, rows: Iterable[Row], system: str, seed: int) -> EvidenceRow:
    """Accuracy of one system where its window held all the evidence, and where it did not."""
    inside: list[Row] = []
    outside: list[Row] = []
    for row in rows:
        totals = data.calls.get((row.item, system))
        spans = data.items[row.item].evidence_s
        if row.failed or row.arm != system or not spans or totals is None:
            continue
        if totals.visible_from_ns is not None:
            visible_s = totals.visible_from_ns / 1e9
            (inside if all(end >= visible_s for _, end in spans) else outside).append(row)

    def accuracy(some: list[Row]) -> Cell | None:
        scores, videos = [row.score for row in some], [row.video for row in some]
        return _cell("accuracy", statistics.mean(scores, videos, seed))

    return EvidenceRow(inside=accuracy(inside), outside=accuracy(outside))


def tradeoff_of(graded: Mapping[Arm, Sequence[Graded]]) -> Tradeoff | None:
    """What another threshold would have done; `None` unless both systems answered with a confidence."""
    if S1 not in graded or S2 not in graded:
        return None
    slow = {
        each.outcome.item.id: each.grade.score for each in graded[S2] if not each.outcome.failed
    }
    paired = [
        Paired(
            outcome.confidence,
            each.grade.score,
            slow[outcome.item.id],
            outcome.item.lookback_s if outcome.item.evidence_s else None,
        )
        for each in graded[S1]
        for outcome in [each.outcome]
        if outcome.confidence is not None and outcome.item.id in slow
    ]
    return Tradeoff(cascade=cascade(paired), oracle=oracle(paired), lookback=by_lookback(paired))


def confidence_auroc(graded: Mapping[Arm, Sequence[Graded]]) -> dict[str, float]:
    """Per single system, over its questions: does its confidence tell full marks from all others?"""
    found: dict[str, float] = {}
    for arm, all_of_arm in graded.items():
        if arm.routes:
            continue
        known = [
            (each.outcome.confidence, each.grade.score == 1.0)
            for each in all_of_arm
            if each.outcome.confidence is not None
        ]
        area = statistics.auroc([sure for sure, _ in known], [right for _, right in known])
        if area is not None:
            found[arm.name] = area
    return found


def _cell(metric: str, estimate: Estimate | None) -> Cell | None:
    return None if estimate is None else Cell.of(metric, estimate)


def _put(table: dict[str, dict[str, Cell]], metric: str, arm: Arm, cell: Cell | None) -> None:
    if cell is not None:
        table.setdefault(metric, {})[str(arm)] = cell
