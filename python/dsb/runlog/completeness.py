"""What is missing, failed or doubled in a run: the answer behind `dsb results check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dsb.benchmarks.item import load_items
from dsb.errors import RunError
from dsb.runlog.folder import CONFIG, GOLD, read_manifest
from dsb.runlog.log import Attempt, attempts, read_log, read_segment, segments
from dsb.runlog.records import Answered, Failure, SessionEnd, SessionStart, Turns


@dataclass(frozen=True)
class FailedQuery:
    """A query that a system did not answer, with its last error."""

    query: str
    system: str
    type: str
    message: str


@dataclass(frozen=True)
class Completeness:
    """The state of one run."""

    run_dir: Path
    #: Sessions that were planned and that are complete.
    sessions: int
    sessions_done: int
    #: Items that were planned, and those of complete sessions that every system answered.
    queries: int
    queries_done: int
    #: Items that no complete session holds.
    missing: tuple[str, ...]
    failed: tuple[FailedQuery, ...]
    #: Items with more than one answer of the same system in the records that count.
    doubled: tuple[str, ...]
    #: Items in the log that the run's items do not know.
    unknown: tuple[str, ...]
    #: Items that no session asks, with the reason.
    skipped: tuple[tuple[str, str], ...]
    #: Sessions of which an attempt was begun and not finished, and that are not complete either.
    unfinished: tuple[str, ...]
    #: Session that is not complete -> the last error of its last attempt, if there was one.
    causes: Mapping[str, str]
    #: Attempts beyond the first, over all sessions.
    repeated: int
    segments: int

    @property
    def complete(self) -> bool:
        """Everything that was planned is there, once, and without a failure."""
        return not (self.missing or self.failed or self.doubled or self.unknown)

    @property
    def remedy(self) -> str:
        """The command that mends what can be mended; empty for a complete run."""
        if self.complete:
            return ""
        if self.doubled or self.unknown:
            return f"dsb run {self.run_dir / CONFIG} --fresh"
        return f"dsb run {self.run_dir / CONFIG} --resume"

    def to_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            **asdict(self),
            "run_dir": str(self.run_dir),
            "complete": self.complete,
            "failed": [asdict(each) for each in self.failed],
            "skipped": [{"id": item, "reason": reason} for item, reason in self.skipped],
        }

    def text(self) -> str:
        """A few lines for people; long lists are cut."""
        lines = [
            f"{self.run_dir}: {'complete' if self.complete else 'not complete'}",
            f"sessions: {self.sessions_done} of {self.sessions} done"
            + (f", {self.repeated} repeated" if self.repeated else ""),
            f"queries: {self.queries_done} of {self.queries} answered",
        ]
        failed = [f"{f.query} ({f.system}: {f.type}: {f.message})" for f in self.failed]
        skipped = [f"{item} ({reason})" for item, reason in self.skipped]
        causes = self.causes
        unfinished = [
            f"{s} (last error: {causes[s]})" if s in causes else s for s in self.unfinished
        ]
        for name, entries in (
            ("unfinished sessions", unfinished),
            ("missing", self.missing),
            ("failed", failed),
            ("doubled", self.doubled),
            ("not of this run", self.unknown),
            ("left out", skipped),
        ):
            if entries:
                lines.append(f"{name} ({len(entries)}): {_listed(entries)}")
        return "\n".join(lines)


def check_run(run_dir: Path) -> Completeness:
    """Compare the log of a run with its items.

    Raises:
        RunError: the folder holds no run, or its log is damaged.
    """
    manifest = read_manifest(run_dir)
    skipped = {each["id"]: each["reason"] for each in manifest.get("skipped", [])}
    try:
        planned = [item.id for item in load_items(run_dir / GOLD) if item.id not in skipped]
    except ValueError as error:
        raise RunError(f"{run_dir}: {error}") from error
    log = _Log()
    for record in read_log(run_dir):
        log.add(record)
    tries = attempts(run_dir)
    done = {each.session for each in tries if each.complete}
    bad = {failure.query for failure in log.failed.values()}
    held = set(log.asked)
    unfinished = sorted({each.session for each in tries} - done)
    # A note for memory that failed is no item; no resume would mend it.
    failed = [failure for failure in log.failed.values() if failure.query in held]
    return Completeness(
        run_dir=run_dir,
        sessions=int(manifest.get("sessions", len(done))),
        sessions_done=len(done),
        queries=len(planned),
        queries_done=sum(item in held and item not in bad for item in planned),
        missing=tuple(item for item in planned if item not in held),
        failed=tuple(failed),
        doubled=tuple(sorted({item for item, _ in log.doubled()})),
        unknown=tuple(sorted(held - set(planned))),
        skipped=tuple(skipped.items()),
        unfinished=tuple(unfinished),
        causes=_causes([each for each in tries if each.session in unfinished]),
        repeated=len(tries) - len({each.session for each in tries}),
        segments=len(segments(run_dir)),
    )


def _causes(tries: Sequence[Attempt]) -> dict[str, str]:
    """The last error in the last attempt of each session: what ended it, unless it was killed."""
    last = {each.session: each for each in sorted(tries, key=lambda each: each.number)}
    return {
        session: f"{record.type}: {record.message}"
        for session, attempt in last.items()
        for record in read_segment(attempt.segment)
        if isinstance(record, Failure) and record.session == session
    }


class _Log:
    """The records that count, by query and system."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failed: dict[tuple[str, str], FailedQuery] = {}
        self._answers: Counter[tuple[str, str]] = Counter()
        self._ticks: dict[tuple[str, str], list[int]] = {}
        self._unknown: set[tuple[str, str]] = set()

    def add(self, record: object) -> None:
        match record:
            case SessionStart():
                self.asked += record.items
            case Failure() if record.query is not None:
                key = (record.query, record.system or "")
                self.failed[key] = FailedQuery(*key, record.type, record.message)
            case Answered():
                self._answers[record.query, record.system] += 1
                # A failure that was followed by an answer was healed by a retry.
                self.failed.pop((record.query, record.system), None)
            case Turns():
                key = (record.query, record.system)
                self._ticks.setdefault(key, []).extend(record.ticks_ns)
                if "unknown" in record.states:
                    self._unknown.add(key)
            case SessionEnd():
                # Ticks that failed are unknown; without an unknown one every failure was healed.
                for key in self._ticks.keys() - self._unknown:
                    self.failed.pop(key, None)
            case _:
                pass

    def doubled(self) -> set[tuple[str, str]]:
        """Answers and ticks that are there more than once."""
        twice = {key for key, count in self._answers.items() if count > 1}
        twice |= {key for key, ticks in self._ticks.items() if len(set(ticks)) < len(ticks)}
        counts = Counter(self.asked)
        return twice | {(item, "") for item, count in counts.items() if count > 1}


def _listed(entries: Sequence[str], most: int = 10) -> str:
    more = f", and {len(entries) - most} more" if len(entries) > most else ""
    return ", ".join(entries[:most]) + more
