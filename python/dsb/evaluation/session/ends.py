"""The first and the last record of a session: what it will do, and what it did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from dsb.config.schema import RunConfig
from dsb.evaluation.plan import SessionPlan
from dsb.evaluation.session.recorder import Recorder
from dsb.evaluation.session.source import SessionSource
from dsb.models.backend import Backend, Counters
from dsb.runlog.records import LiveFigures, SessionEnd, SessionStart
from dsb.systems.build import system_configs
from dsb.systems.system import System


def record_start(
    recorder: Recorder,
    plan: SessionPlan,
    config: RunConfig,
    attempt: int,
    *,
    size: tuple[int, int] = (0, 0),
    systems: Mapping[str, System] | None = None,
) -> None:
    """Log the beginning of an attempt; without `size` and `systems` it failed before it had any."""
    configs = system_configs(config)
    recorder.write(
        SessionStart,
        attempt=attempt,
        video=plan.id if plan.live else str(plan.video),
        items=list(plan.items),
        fps=str(config.video.fps),
        width=size[0],
        height=size[1],
        systems={
            name: {
                "abilities": asdict(system.conversation.abilities),
                "settings": configs[name][0].model_dump(mode="json"),
            }
            for name, system in (systems or {}).items()
        },
    )


def record_end(
    recorder: Recorder, source: SessionSource, frames: int, work: Counters, live: LiveFigures | None
) -> None:
    """Log the end of a complete session and wait until it is on the disk.

    `frames` were handed to the systems: the decoder may be ahead by a few that nobody asked for, and
    those depend on timing.
    """
    tally, decoder = recorder.tally, source.frames
    recorder.write(
        SessionEnd,
        queries_done=len(tally.asked - tally.failed),
        queries_failed=len(tally.failed),
        frames_decoded=frames,
        frames_encoded=work.frames_encoded,
        frames_provisional=work.frames_provisional,
        model_calls=work.model_calls,
        decode_errors=decoder.decode_errors,
        decode_wall_ns=decoder.decode_wall_ns,
        decode_cpu_ns=decoder.decode_cpu_ns,
        encode_ns=work.encode_ns,
        model_ns=work.model_ns,
        prefill_ns=work.prefill_ns,
        tokens_computed=work.tokens_computed,
        patches_evicted=work.patches_evicted,
        wall_ns=recorder.wall_ns,
        played_ns=tally.played_ns,
        packets=source.packets(),
        live=live,
    )
    recorder.commit()


def work_of(backends: Iterable[Backend], session: str) -> Counters:
    """What all backends did for a session; one that S1 and S2 share counts once."""
    total = Counters()
    for backend in {id(each): each for each in backends}.values():
        total += backend.counters(session)
    return total
