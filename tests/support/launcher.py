"""Starts `dsb` commands by forking a process that has imported everything: a start costs no seconds.

Reads one JSON object per line, `{"argv": [...], "output": path}`, runs `dsb *argv` in a child of its
own, and answers with the child's process id and, when it has ended, its wait status.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

import torch
import transformers.models.qwen2_5_vl  # noqa: F401 - what a model needs when it is loaded

import dsb.analysis.summary.score
import dsb.evaluation.run
import dsb.models.local.backend
import dsb.reports.terminal  # noqa: F401 - imported here so that no child has to
from children import die_with
from dsb.cli import app

torch.set_num_threads(1)


def run(argv: list[str], output: str) -> None:
    """Become `dsb argv`; never returns."""
    code: object = 1
    try:
        target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(target, 1)
        os.dup2(target, 2)
        sys.argv = ["dsb", *argv]
        app.main()
        code = 0
    except SystemExit as stop:
        code = stop.code
    except BaseException:  # noqa: BLE001 - nothing may return into the loop of the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            die_with(parent)
            run(command["argv"], command["output"])
        tell(child)
        _, status = os.waitpid(child, 0)
        tell(status)


def tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
