"""Children of tests end with the tests, and do not depend on how those were started."""

from __future__ import annotations

import ast
import os
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, TimeoutExpired

import pytest

from children import Child, run
from paths import ROOT, SUPPORT

#: Starts a child of its own, says its number and never ends.
FAMILY = ["sh", "-c", "sleep 600 & echo $!; wait"]
#: Says whether it ignores signals or puts them off, and what it can read.
STATE = """
import signal, sys
ignored = [signal.getsignal(each) is signal.SIG_IGN for each in (1, 2, 3, 14, 15)]
print(ignored, signal.pthread_sigmask(signal.SIG_BLOCK, []), repr(sys.stdin.read()))
"""


def ended(pid: int) -> bool:
    """Whether a process has ended, or does so within ten seconds."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def test_a_child_is_killed_with_its_own_children_when_its_block_ends() -> None:
    with Child(FAMILY, stdout=PIPE) as child:
        grandchild = int(child.stdout.readline())
    assert child.returncode == -signal.SIGKILL
    assert ended(grandchild)


def test_a_child_that_hangs_is_killed_when_its_time_is_over() -> None:
    with pytest.raises(TimeoutExpired) as hung:
        run(FAMILY, timeout=2)
    assert ended(int(hung.value.output))


def with_support() -> dict[str, str]:
    """The environment of a program that uses the helpers of the tests."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}


def test_a_child_is_killed_with_the_process_that_has_started_it() -> None:
    """Also where that one has no time to say good-bye."""
    program = "from children import Child; print(Child(['sleep', '600']).pid, flush=True); input()"
    command = [sys.executable, "-c", program]
    with Child(command, env=with_support(), stdin=PIPE, stdout=PIPE) as parent:
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        assert ended(child)


@pytest.mark.parametrize("ignored", ["INT", "INT HUP TERM QUIT ALRM"])
def test_a_child_meets_signals_however_the_tests_were_started(ignored: str) -> None:
    state = [sys.executable, "-c", STATE]
    program = f"from children import run; print(run({state!r}, text=True).stdout)"
    closed = f"trap '' {ignored}; exec \"$@\" <&-"
    command = ["bash", "-c", closed, "bash", sys.executable, "-c", program]
    done = run(command, env=with_support(), text=True, check=True)
    assert done.stdout.strip() == "[False, False, False, False, False] set() ''"


def imports(file: Path) -> set[str]:
    """What a file imports: `module`, or `module.name` for a part of one."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {part.name for part in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{part.name}" for part in node.names}
    return found


def test_every_child_of_the_tests_is_started_this_way() -> None:
    starts = {"subprocess", "multiprocessing", "subprocess.run", "subprocess.Popen"}
    files = [file for file in (ROOT / "tests").rglob("*.py") if imports(file) & starts]
    assert files == [SUPPORT / "children.py"], "start them with `run` or `Child` of children.py"
