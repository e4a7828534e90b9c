"""A lock file that keeps two runs out of one folder and survives neither its owner nor a reboot.

The lock is an advisory `flock`, which the kernel drops when its owner dies, however it dies. The
file also says who holds it, so that messages can name the owner, and so that a folder on a network
drive is not taken from another machine, where `flock` may not reach.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from dsb.errors import RunError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class LockOwner:
    """Who holds a run directory."""

    host: str
    pid: int
    #: Changes at every start of the machine; empty where the system has none.
    boot_id: str

    @classmethod
    def this_process(cls) -> LockOwner:
        """The owner that this process would be."""
        boot_id = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        return cls(socket.gethostname(), os.getpid(), boot_id)


class RunLock:
    """Holds `<run_dir>/lock` from construction to `release`.

    `message` says so when the lock of a dead owner was taken over, and is empty otherwise.

    Raises:
        RunError: a living process holds it, or one on another machine may.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "lock"
        self._file = self._acquire()
        try:
            former = self._former_owner()
            mine = LockOwner.this_process()
            if former and former.host != mine.host:
                raise RunError(
                    f"{run_dir} is in use by process {former.pid} on {former.host}; if that one "
                    f"is gone, remove {self._path} and try again"
                )
            self.message = self._takeover(former, mine)
            self._write(mine)
        except BaseException:
            os.close(self._file)
            raise

    def release(self) -> None:
        """Give the directory back."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _acquire(self) -> int:
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = _parse(os.pread(file, 4096, 0))
                os.close(file)
                who = f"process {owner.pid} on {owner.host}" if owner else "another process"
                raise RunError(
                    f"{self._path.parent} is in use by {who}; wait for it or stop it, then try "
                    "again with `--resume`"
                ) from None
            # Its last owner may have removed the name between our open and our lock.
            if self._path.exists() and os.path.samestat(os.fstat(file), self._path.stat()):
                return file
            os.close(file)

    def _former_owner(self) -> LockOwner | None:
        return _parse(os.pread(self._file, 4096, 0))

    def _takeover(self, former: LockOwner | None, mine: LockOwner) -> str:
        if former is None:
            return ""
        reason = (
            "ended" if former.boot_id == mine.boot_id else "ended with a restart of the machine"
        )
        return (
            f"took over the lock of process {former.pid} on {former.host}, which {reason} without "
            "releasing it"
        )

    def _write(self, owner: LockOwner) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(asdict(owner)).encode(), 0)
        os.fsync(self._file)


def _parse(data: bytes) -> LockOwner | None:
    """`None` for a file that its owner had no time to write."""
    try:
        return LockOwner(**json.loads(data))
    except (ValueError, TypeError):
        return None
