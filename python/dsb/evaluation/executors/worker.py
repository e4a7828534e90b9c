"""A worker: models of its own, and sessions one after the other into one segment."""

from __future__ import annotations

from collections.abc import Sequence

from dsb.evaluation.executors.executor import Ended, Job, OnEvent, SessionWork, Stepped
from dsb.evaluation.session.recorder import Tally
from dsb.evaluation.session.session import play_session
from dsb.evaluation.session.setup import RunSetup
from dsb.models.build import open_backends
from dsb.routing.build import build_routers
from dsb.runlog.log import LogWriter


def play_all(job: Job, works: Sequence[SessionWork], name: str, on_event: OnEvent) -> None:
    """Load the models and play sessions into the segments of the worker `name`.

    Closing a segment commits it, also after Ctrl-C. Raises as `Executor.run`.
    """
    config = job.config
    setup = RunSetup(
        config,
        open_backends(config.models, config.system.streaming_embed_cache),
        build_routers(config.system.scheduler),
        job.decoder,
    )
    with LogWriter(job.run_dir, name) as log:
        for work in works:

            def on_step(tally: Tally, work: SessionWork = work) -> None:
                on_event(Stepped(work, tally))

            outcome = play_session(work.plan, setup, log, attempt=work.attempt, on_step=on_step)
            on_event(Ended(work, outcome))
