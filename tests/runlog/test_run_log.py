"""The run log keeps every record that was appended, whatever happens to the writer."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from children import run
from dsb.errors import RunError
from dsb.runlog.log import LogWriter, attempts, read_segment, segments
from dsb.runlog.records import Record, Retry, SessionEnd, SessionStart
from dsb.runlog.run import Run


def start(session: str, attempt: int = 1) -> SessionStart:
    return SessionStart(
        session=session,
        seq=0,
        t_stream_ns=0,
        t_wall_ns=0,
        attempt=attempt,
        video=f"{session}.mp4",
        items=["q"],
        fps="1",
        width=56,
        height=56,
        systems={},
    )


def step(session: str, seq: int, query: str = "q") -> Retry:
    return Retry(
        session=session,
        seq=seq,
        t_stream_ns=seq,
        t_wall_ns=seq,
        query=query,
        system="s1",
        attempt=1,
        wait_s=0.5,
    )


def end(session: str, seq: int) -> SessionEnd:
    counters = (name for name, field in SessionEnd.model_fields.items() if field.is_required())
    zero = dict.fromkeys((name for name in counters if name not in {"session", "seq"}), 0)
    return SessionEnd(session=session, seq=seq, **zero)


def whole(session: str, steps: int, attempt: int = 1) -> list[Record]:
    middle = [step(session, seq) for seq in range(1, steps + 1)]
    return [start(session, attempt), *middle, end(session, steps + 1)]


def write(run_dir: Path, records: list[Record], worker: str = "w0") -> Path:
    with LogWriter(run_dir, worker) as log:
        for record in records:
            log.append(record)
    return log.path


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    records = whole("a", 3) + whole("b", 2)
    write(tmp_path, records)
    assert list(Run(tmp_path).records()) == records


def test_a_last_line_torn_anywhere_is_ignored(tmp_path: Path) -> None:
    records = whole("a", 3)
    path = write(tmp_path, records)
    data = path.read_bytes()
    last = len(data.splitlines(keepends=True)[-1])
    for missing in range(1, last + 1):
        path.write_bytes(data[:-missing])
        assert list(read_segment(path)) == records[:-1]
        assert list(Run(tmp_path).records()) == []


def test_zeros_that_a_power_cut_left_at_the_end_are_ignored(tmp_path: Path) -> None:
    records = whole("a", 1)
    path = write(tmp_path, records)
    path.write_bytes(path.read_bytes() + bytes(512))
    assert list(Run(tmp_path).records()) == records


def test_damage_in_the_middle_is_an_error_that_names_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, whole("a", 3))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:10] + b"#" + lines[2][11:]
    path.write_bytes(b"".join(lines))
    with pytest.raises(RunError, match=r"w0-0\.jsonl line 3 is damaged"):
        list(Run(tmp_path).records())


def test_a_record_of_a_newer_version_asks_for_an_update(tmp_path: Path) -> None:
    path = write(tmp_path, whole("a", 1))
    path.write_bytes(path.read_bytes().replace(b'"v":1', b'"v":2'))
    with pytest.raises(RunError, match=r"version 2.*pip install -U"):
        list(Run(tmp_path).records())


def test_the_last_complete_attempt_counts(tmp_path: Path) -> None:
    first, second = whole("a", 2), whole("a", 5, attempt=2)
    write(tmp_path, first)
    write(tmp_path, second)
    write(tmp_path, whole("a", 7, attempt=3)[:-1])
    assert list(Run(tmp_path).records()) == second
    assert [each.complete for each in attempts(tmp_path)] == [True, True, False]


def test_an_attempt_without_its_end_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, [*whole("a", 2)[:-1], *whole("b", 1)])
    assert {record.session for record in Run(tmp_path).records()} == {"b"}


def test_a_text_that_looks_like_an_end_ends_nothing(tmp_path: Path) -> None:
    trap = step("a", 1, query='","kind":"session_end","')
    write(tmp_path, [start("a"), trap])
    assert list(Run(tmp_path).records()) == []


def test_every_writer_has_a_segment_of_its_own(tmp_path: Path) -> None:
    with LogWriter(tmp_path, "w0") as one, LogWriter(tmp_path, "w0") as two:
        one.append(start("a"))
        two.append(start("b"))
    assert one.path != two.path
    assert segments(tmp_path) == [one.path, two.path]


def test_a_writer_that_wrote_nothing_leaves_no_file(tmp_path: Path) -> None:
    LogWriter(tmp_path).close()
    assert segments(tmp_path) == []


@contextlib.contextmanager
def counted_syncs(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """Lets one through per `fsync` of a file; folders are not counted."""
    syncs = threading.Semaphore(0)
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        syncs.release()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield syncs


def test_64_records_are_committed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LogWriter(tmp_path, group_seconds=3600) as log, counted_syncs(monkeypatch) as syncs:
        for seq in range(63):
            log.append(step("a", seq))
        assert not syncs.acquire(timeout=0.05)
        log.append(step("a", 63))
        assert syncs.acquire(timeout=30)


def test_a_single_record_is_committed_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LogWriter(tmp_path, group_seconds=0.01) as log, counted_syncs(monkeypatch) as syncs:
        log.append(step("a", 0))
        assert syncs.acquire(timeout=30)


def test_commit_returns_when_everything_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LogWriter(tmp_path, group_seconds=3600) as log, counted_syncs(monkeypatch) as syncs:
        log.append(step("a", 0))
        log.commit()
        assert syncs.acquire(blocking=False)


def test_a_disk_that_takes_a_few_bytes_at_a_time_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:7]))
    records = whole("a", 5)
    write(tmp_path, records)
    assert list(Run(tmp_path).records()) == records


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes: what a full disk looks like to one file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)


def append_forever(log: LogWriter, kept: list[Record]) -> None:
    while True:
        log.append(record := step("a", len(kept)))
        kept.append(record)


@pytest.mark.parametrize("size", [1000, 1001, 1002, 1100])
def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path, size: int) -> None:
    kept: list[Record] = []
    log = LogWriter(tmp_path)
    with largest_file(size), pytest.raises(RunError, match="make room") as caught:
        append_forever(log, kept)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert kept
    with pytest.raises(RunError, match="make room"):
        log.append(step("a", 100))
    with pytest.raises(RunError, match="make room"):
        log.close()
    assert list(read_segment(log.path)) == kept
    assert log.path.read_bytes().endswith(b"\n")


def test_killing_the_writer_loses_no_record(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from dsb.runlog.log import LogWriter
from dsb.runlog.records import Retry
log = LogWriter(Path(sys.argv[1]), group_seconds=3600)
for seq in range(10):
    log.append(Retry(session="a", seq=seq, t_stream_ns=0, t_wall_ns=0, query="q", system="s1",
                     attempt=1, wait_s=0.0))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = run([sys.executable, "-c", program, tmp_path])
    assert done.returncode == -signal.SIGKILL
    (path,) = segments(tmp_path)
    assert [record.seq for record in read_segment(path)] == list(range(10))
