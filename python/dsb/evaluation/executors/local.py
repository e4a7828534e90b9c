"""One worker in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsb.evaluation.executors.executor import OnDone, Play
from dsb.evaluation.plan import SessionPlan
from dsb.runlog.log import LogWriter


class LocalExecutor:
    """One worker in this process: sessions one after the other, into one segment."""

    def run(
        self, sessions: Sequence[SessionPlan], play: Play, run_dir: Path, on_done: OnDone
    ) -> None:
        """See `Executor.run`. Closing the segment commits it, also after Ctrl-C."""
        if not sessions:
            return
        with LogWriter(run_dir, "w0") as log:
            for session in sessions:
                on_done(session, play(session, log))
