"""Two runs never share a folder, and a dead one never keeps it."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from children import Child
from dsb.errors import RunError
from dsb.runlog.lock import LockOwner, RunLock

HOLDER = """
import sys
from pathlib import Path
from dsb.runlog.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def hold(run_dir: Path) -> Child:
    """A process that has the lock."""
    command = [sys.executable, "-c", HOLDER, run_dir]
    process = Child(command, stdin=PIPE, stdout=PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_living_owner_keeps_others_out_and_is_named(tmp_path: Path) -> None:
    with (
        hold(tmp_path) as owner,
        pytest.raises(RunError, match=f"in use by process {owner.pid} on"),
    ):
        RunLock(tmp_path)


def test_the_lock_of_a_killed_owner_is_taken_over_with_a_message(tmp_path: Path) -> None:
    with hold(tmp_path) as owner:
        owner.kill()
    with RunLock(tmp_path) as lock:
        assert f"took over the lock of process {owner.pid}" in lock.message


def test_a_released_lock_leaves_nothing(tmp_path: Path) -> None:
    RunLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []
    with RunLock(tmp_path) as lock:
        assert lock.message == ""


def test_the_lock_names_host_process_and_boot(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        owner = json.loads((tmp_path / "lock").read_bytes())
    assert owner["host"] == socket.gethostname()
    assert owner["pid"] == os.getpid()
    assert owner.keys() == {"host", "pid", "boot_id"}


def leave(run_dir: Path, owner: LockOwner) -> None:
    (run_dir / "lock").write_text(json.dumps(vars(owner)))


def test_a_lock_from_before_a_restart_is_taken_over(tmp_path: Path) -> None:
    leave(tmp_path, LockOwner(socket.gethostname(), os.getpid(), "another-boot"))
    with RunLock(tmp_path) as lock:
        assert "restart of the machine" in lock.message


def test_a_lock_of_another_machine_is_never_taken(tmp_path: Path) -> None:
    leave(tmp_path, LockOwner("elsewhere", 7, ""))
    with pytest.raises(RunError, match=r"process 7 on elsewhere.*remove .*lock"):
        RunLock(tmp_path)
    assert (tmp_path / "lock").exists()


def test_a_lock_that_was_never_filled_in_is_taken(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with RunLock(tmp_path) as lock:
        assert lock.message == ""
