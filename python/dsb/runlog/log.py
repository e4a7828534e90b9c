"""The run log: append-only JSON lines, one file per writer, and nothing else to trust after a
crash.

A record reaches the operating system at once, so a killed process loses nothing that it appended.
It reaches the disk with a group commit: every 64 records, 250 ms after the first uncommitted one,
and before `commit` returns. A record that cannot be written whole (full disk) is cut off again, so
that a file holds whole lines except for one torn last line, which readers ignore.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from dsb.atomic import sync_folder
from dsb.errors import RunError
from dsb.runlog.records import LOG_VERSION, RECORD, Record, SessionEnd, SessionStart

#: Uncommitted records that trigger a commit.
GROUP_RECORDS = 64
#: Seconds after which an uncommitted record is committed.
GROUP_SECONDS = 0.25

#: How the records look that begin and end an attempt; quotes inside a text would be escaped.
_ENDS = (b'"kind":"session_start"', b'"kind":"session_end"')

_SEGMENT = re.compile(r"(?P<worker>.+)-(?P<number>\d+)\.jsonl\Z")


def segments(run_dir: Path) -> list[Path]:
    """The log files of a run, by worker and number."""
    found = [(path, _SEGMENT.match(path.name)) for path in (run_dir / "log").glob("*.jsonl")]
    named = [(name["worker"], int(name["number"]), path) for path, name in found if name]
    return [path for _, _, path in sorted(named)]


class LogWriter:
    """The one writer of a new segment `log/<worker>-<n>.jsonl`; safe in several threads."""

    def __init__(
        self,
        run_dir: Path,
        worker: str = "w0",
        *,
        group_records: int = GROUP_RECORDS,
        group_seconds: float = GROUP_SECONDS,
    ) -> None:
        folder = run_dir / "log"
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._file = _new_segment(folder, worker)
        sync_folder(folder)
        self._group_records = group_records
        self._group_seconds = group_seconds
        self._size = 0
        self._pending = 0
        self._failed: RunError | None = None
        self._closed = False
        self._wake = threading.Condition()
        self._committer = threading.Thread(target=self._commit_in_time, daemon=True)
        self._committer.start()

    @property
    def path(self) -> Path:
        """The segment."""
        return self._path

    def append(self, record: Record) -> None:
        """Write one record as one line.

        Raises:
            RunError: the disk is full or failing; records written before stay whole. After such an
                error every further call raises it again.
        """
        line = record.model_dump_json().encode() + b"\n"
        with self._wake:
            self._check()
            try:
                _write_all(self._file, line)
            except OSError as error:
                self._undo()
                self._failed = self._error(error)
                raise self._failed from error
            self._size += len(line)
            self._pending += 1
            if self._pending in (1, self._group_records):
                self._wake.notify()

    def commit(self) -> None:
        """Return once everything appended so far is on the disk. Raises `RunError` as `append`
        does.
        """
        with self._wake:
            self._check()
            self._sync()
            if self._failed:
                raise self._failed

    def close(self) -> None:
        """Commit and close; an empty segment is removed. Raises `RunError` as `append` does."""
        with self._wake:
            if self._closed:
                return
            self._sync()
            self._closed = True
            self._wake.notify()
        self._committer.join()
        os.close(self._file)
        if self._size == 0:
            self._path.unlink(missing_ok=True)
        if self._failed:
            raise self._failed

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._failed:
            raise self._failed
        if self._closed:
            raise RunError(f"{self._path} is closed; open a new LogWriter")

    def _sync(self) -> None:
        if self._pending == 0:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            self._failed = self._failed or self._error(error)
        else:
            self._pending = 0

    def _commit_in_time(self) -> None:
        with self._wake:
            while not self._closed:
                if self._pending == 0 or self._failed:
                    self._wake.wait()
                    continue
                if self._pending < self._group_records:
                    self._wake.wait(self._group_seconds)
                self._sync()

    def _undo(self) -> None:
        # What was half written must not become the beginning of a later line. If even this fails,
        # the torn line stays the last one, because no further record is accepted.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._size)

    def _error(self, error: OSError) -> RunError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "make room" if full else "check the disk"
        return RunError(
            f"cannot write the run log {self._path}: {error.strerror}; everything before is safe. "
            f"Then {remedy} and continue with `--resume`"
        )


@dataclass(frozen=True)
class Attempt:
    """One try of one session."""

    session: str
    #: Counted from 1 over all launches of the run.
    number: int
    segment: Path
    #: `None` while it is not in the log.
    end: SessionEnd | None = None

    @property
    def complete(self) -> bool:
        """Its `session_end` is in the log."""
        return self.end is not None


def read_segment(path: Path) -> Iterator[Record]:
    """The records of one segment; a torn last line is left out.

    Raises:
        RunError: a line that is not the last one is damaged, or it was written by a newer version.
    """
    for number, line in _whole_lines(path):
        try:
            yield RECORD.validate_json(line)
        except ValidationError as error:
            raise _damage(path, number, line, error) from error


def attempts(run_dir: Path) -> list[Attempt]:
    """Every attempt of every session, in the order of the segments; cheap, because only their ends
    are parsed.
    """
    found: list[Attempt] = []
    for path in segments(run_dir):
        for number, line in _whole_lines(path):
            if not any(mark in line for mark in _ENDS):
                continue
            try:
                record = RECORD.validate_json(line)
            except ValidationError as error:
                raise _damage(path, number, line, error) from error
            if isinstance(record, SessionStart):
                found.append(Attempt(record.session, record.attempt, path))
            elif (
                isinstance(record, SessionEnd)
                and found
                and found[-1].segment == path
                and found[-1].session == record.session
            ):
                found[-1] = replace(found[-1], end=record)
    return found


def done_sessions(tries: Iterable[Attempt]) -> dict[str, Attempt]:
    """The last complete attempt of each session."""
    best: dict[str, Attempt] = {}
    for attempt in tries:
        known = best.get(attempt.session)
        if attempt.complete and (known is None or attempt.number >= known.number):
            best[attempt.session] = attempt
    return best


def read_attempts(chosen: Iterable[Attempt]) -> Iterator[Record]:
    """The records of these attempts, without gaps, by segment.

    Raises `RunError` when a segment is damaged anywhere but in its last line.
    """
    wanted = {(each.segment, each.session, each.number) for each in chosen}
    for path in sorted({segment for segment, _, _ in wanted}):
        counts = False
        for record in read_segment(path):
            if isinstance(record, SessionStart):
                counts = (path, record.session, record.attempt) in wanted
            if counts:
                yield record


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines without the torn one that a crash may leave at the end: no newline, or no JSON
    object.
    """
    with path.open("rb") as file:
        ahead = file.readline()
        number = 0
        while ahead:
            line, ahead = ahead, file.readline()
            number += 1
            if ahead or (line.endswith(b"}\n") and line.startswith(b"{")):
                yield number, line


def _damage(path: Path, number: int, line: bytes, error: ValidationError) -> RunError:
    with contextlib.suppress(ValueError):
        version = json.loads(line).get("v")
        if isinstance(version, int) and version > LOG_VERSION:
            return RunError(
                f"{path} line {number} is of log version {version}, this program reads "
                f"{LOG_VERSION}: update it with `pip install -U dualstreambench`"
            )
    problem = error.errors()[0]
    return RunError(
        f"{path} line {number} is damaged ({problem['msg']}); restore the file from a copy, or run "
        "again with `--fresh`"
    )


def _new_segment(folder: Path, worker: str) -> tuple[Path, int]:
    numbers = [int(m["number"]) for p in folder.iterdir() if (m := _SEGMENT.match(p.name))]
    number = max(numbers, default=-1) + 1
    while True:
        path = folder / f"{worker}-{number}.jsonl"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            return path, os.open(path, flags, 0o644)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise RunError(f"cannot create the run log {path}: {error.strerror}") from error


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
