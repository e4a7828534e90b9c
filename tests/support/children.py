"""Child processes of tests: they end with the test that starts them, whatever becomes of it.

A child leads a process group. The group is killed when the `with` block of the child ends, and the child itself
when the process of the tests ends in any way. It has no standard input unless it is given one, and it meets
signals as if somebody had started it by hand: a script that runs the tests in its background ignores Ctrl-C, and
whoever started them with `nohup` a lost terminal; children would inherit that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Seconds that a child may take which ends by itself; what takes longer hangs.
LIMIT_S = 300

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM)
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl


class Child(subprocess.Popen[Any]):
    """`subprocess.Popen` for tests; use it in a `with` statement."""

    def __init__(self, command: Sequence[str | Path], **how: Any) -> None:
        parent = os.getpid()

        def begin() -> None:
            die_with(parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)

        how.setdefault("stdin", subprocess.DEVNULL)
        # Only system calls: nothing that another thread may hold a lock of.
        super().__init__(command, process_group=0, preexec_fn=begin, **how)

    def kill(self) -> None:
        """Kill the child and whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def __exit__(self, *raised: Any) -> None:
        self.kill()
        super().__exit__(*raised)


def run(
    command: Sequence[str | Path],
    *,
    input: bytes | str | None = None,
    check: bool = False,
    timeout: float = LIMIT_S,
    **how: Any,
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` with a `Child`; what it prints is kept unless `how` says where it goes.

    Raises:
        subprocess.TimeoutExpired: it did not end, and has been killed.
        subprocess.CalledProcessError: it failed, and `check` is set.
    """
    if input is not None:
        how["stdin"] = subprocess.PIPE
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    with Child(command, **how) as child:
        output, errors = child.communicate(input, timeout)
    done = subprocess.CompletedProcess(child.args, child.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


def die_with(parent: int) -> None:
    """Have this process killed when `parent`, which has forked it, ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
