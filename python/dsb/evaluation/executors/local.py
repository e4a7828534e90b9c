"""One worker in this process."""

from __future__ import annotations

from collections.abc import Sequence

from dsb.evaluation.executors.executor import Job, OnEvent, SessionWork
from dsb.evaluation.executors.worker import play_all


class LocalExecutor:
    """Sessions one after the other; models are loaded only where there is something to play."""

    def run(self, job: Job, works: Sequence[SessionWork], on_event: OnEvent) -> None:
        """See `Executor.run`."""
        if works:
            play_all(job, works, "w0", on_event)
