"""What is missing, failed or doubled in a run: the answer behind `dsb results check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dsb.runlog.folder import CONFIG
from dsb.runlog.log import Attempt, read_segment
from dsb.runlog.records import Failure
from dsb.runlog.run import Run


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


def check_run(run: Run) -> Completeness:
    """Compare the log of a run with its items. Raises `RunError` if one of them is damaged."""
    data = run.data
    skipped = {each.id: each.reason for each in run.manifest.skipped}
    planned = [item for item in data.items if item not in skipped]
    held = {*data.asked, *data.unknown}
    failed = {item for item, _ in data.failures}
    tried = {each.session for each in run.attempts}
    unfinished = sorted(tried - run.done.keys())
    return Completeness(
        run_dir=run.path,
        sessions=run.manifest.sessions,
        sessions_done=len(run.done),
        queries=len(planned),
        queries_done=sum(item in held and item not in failed for item in planned),
        missing=tuple(item for item in planned if item not in held),
        failed=tuple(
            FailedQuery(item, system or "", failure.type, failure.message)
            for (item, system), failure in data.failures.items()
        ),
        doubled=tuple(sorted(data.doubled)),
        unknown=tuple(sorted(held - set(planned))),
        skipped=tuple(skipped.items()),
        unfinished=tuple(unfinished),
        causes=_causes([each for each in run.attempts if each.session in unfinished]),
        repeated=len(run.attempts) - len(tried),
        segments=len(run.segments),
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


def _listed(entries: Sequence[str], most: int = 10) -> str:
    more = f", and {len(entries) - most} more" if len(entries) > most else ""
    return ", ".join(entries[:most]) + more
