"""A run log as tables: one row per answer, per standing instruction, per route; the gold beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dsb.benchmarks.item import Item, load_items
from dsb.errors import ReportError
from dsb.runlog.log import read_log
from dsb.runlog.records import (
    Answered,
    Call,
    Failure,
    Record,
    Route,
    SessionEnd,
    SessionStart,
    Turns,
)


@dataclass
class CallTotals:
    """All calls behind one answer of one system."""

    input_tokens: int = 0
    output_tokens: int = 0
    #: Stream time of the oldest frame that a call could depend on; `None` when it saw none.
    visible_from_ns: int | None = None


@dataclass
class Ticks:
    """The ticks of one standing instruction in one system, in stream order."""

    ticks_ns: list[int] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    service_ns: list[int] = field(default_factory=list)

    def extend(self, record: Turns) -> None:
        """Add the next ticks."""
        self.ticks_ns += record.ticks_ns
        self.states += record.states
        self.scores += record.scores
        self.service_ns += record.service_ns


@dataclass
class Routing:
    """The decisions of one router for one query: one, or one per tick."""

    stage: str
    actions: list[str] = field(default_factory=list)
    service_ns: int = 0


@dataclass
class RunData:
    """The complete sessions of one run. Keys are (item id, system) and (item id, router)."""

    items: dict[str, Item]
    answers: dict[tuple[str, str], Answered] = field(default_factory=dict)
    calls: dict[tuple[str, str], CallTotals] = field(default_factory=dict)
    ticks: dict[tuple[str, str], Ticks] = field(default_factory=dict)
    routes: dict[tuple[str, str], Routing] = field(default_factory=dict)
    #: Only what no later try mended.
    failures: dict[tuple[str, str | None], Failure] = field(default_factory=dict)
    ends: dict[str, SessionEnd] = field(default_factory=dict)
    #: Items that a complete session was to ask, in the order of the benchmark.
    asked: list[str] = field(default_factory=list)
    systems: list[str] = field(default_factory=list)

    @property
    def routers(self) -> list[str]:
        """Routers in the order in which they first decided."""
        return list(dict.fromkeys(name for _, name in self.routes))

    def video(self, item_id: str) -> str:
        """The video of an item: the cluster that it is resampled with."""
        return self.items[item_id].video


def load_run(run_dir: Path) -> RunData:
    """Read the log and the gold of a run.

    Raises:
        ReportError: the folder holds no run, or no session of it is complete yet.
    """
    gold = run_dir / "gold.json"
    if not gold.is_file():
        raise ReportError(
            f"{run_dir} holds no run: {gold.name} is missing; name a folder that `dsb run` wrote"
        )
    data = tabulate(load_items(gold), read_log(run_dir))
    if not data.ends:
        raise ReportError(
            f"no session of {run_dir} is complete yet; continue the run with `--resume`"
        )
    return data


def tabulate(items: Iterable[Item], records: Iterable[Record]) -> RunData:
    """Sort the records of complete sessions into tables."""
    data = RunData({item.id: item for item in items})
    pts: dict[str, dict[int, int]] = {}
    for record in records:
        match record:
            case SessionStart():
                data.asked += record.items
                data.systems += [name for name in record.systems if name not in data.systems]
                pts[record.session] = {}
            case Answered():
                data.answers[record.query, record.system] = record
            case Turns():
                data.ticks.setdefault((record.query, record.system), Ticks()).extend(record)
            case Route():
                _add_route(data, record)
            case Failure():
                if record.query is not None:
                    data.failures[record.query, record.system] = record
            case SessionEnd():
                data.ends[record.session] = record
            case Call() if record.purpose != "tick":
                _add_call(data, record, pts[record.session])
            case _ if record.kind == "frames":
                pts[record.session] |= dict(enumerate(record.pts_ns, record.start))
            case _:
                pass
    _forget_healed(data)
    # In the order of the benchmark: that of the log depends on what was repeated after a crash,
    # and intervals must not.
    held = set(data.asked)
    data.asked = [item for item in data.items if item in held]
    return data


def _forget_healed(data: RunData) -> None:
    """Drop failures after which a further try succeeded, and those of queries that are no items."""
    unknown = {key for key, ticks in data.ticks.items() if "unknown" in ticks.states}
    answered = set(data.answers) | (set(data.ticks) - unknown)
    data.failures = {
        key: failure
        for key, failure in data.failures.items()
        if key[0] in data.items and key not in answered
    }


def _add_route(data: RunData, record: Route) -> None:
    routing = data.routes.setdefault((record.query, record.router), Routing(record.stage))
    routing.actions += record.actions
    routing.service_ns += record.service_ns


def _add_call(data: RunData, record: Call, pts_ns: dict[int, int]) -> None:
    totals = data.calls.setdefault((record.query, record.system), CallTotals())
    totals.input_tokens += record.input_tokens
    totals.output_tokens += record.output_tokens
    if record.frames is not None and record.frames[0] in pts_ns:
        seen = pts_ns[record.frames[0]]
        oldest = totals.visible_from_ns
        totals.visible_from_ns = seen if oldest is None else min(oldest, seen)
