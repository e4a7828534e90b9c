"""The source of a session: where its playing begins, how it is decoded, and what that took."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from dsb._core import FrameSource, Pruning
from dsb.config.schema import RunConfig
from dsb.evaluation.plan import SessionPlan
from dsb.evaluation.session.feed import BATCH, frames_back
from dsb.runlog.records import PacketFigures
from dsb.stream.decoding import DecoderChoice
from dsb.stream.live import open_live
from dsb.stream.pruning import prune
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source
from dsb.stream.window import NS_PER_S
from dsb.systems.build import system_configs, window_of


@dataclass(frozen=True)
class SessionSource:
    """An open source and what was found out about its packets."""

    frames: FrameSource
    pruning: Pruning | None = None

    def packets(self) -> PacketFigures | None:
        """How much of the file was decoded; `None` where nobody asked."""
        found = self.pruning
        if found is None:
            return None
        if found.obstacle is None and not self.frames.pruned:
            return PacketFigures(packets=found.packets, kept=found.packets, obstacle="damage")
        return PacketFigures(packets=found.packets, kept=found.kept, obstacle=found.obstacle)


def open_session_source(
    plan: SessionPlan,
    config: RunConfig,
    decoder: DecoderChoice,
    size: tuple[int, int],
    keep: int,
) -> SessionSource:
    """Start to decode what a session plays, into a ring that keeps the newest `keep` frames.

    Raises:
        SourceError, DecodeError, DecoderNotFound: as `dsb.stream.source.open_source`.
    """
    video = config.video
    # One batch that waits to be handed over, the later frame that proves it complete, and the
    # decoder's lead or our delay.
    capacity = keep + BATCH + 1 + config.stream.queue_frames
    request = DecodeRequest(
        str(config.stream.source) if plan.live else plan.video,
        fps=video.fps,
        size=size,
        hwaccel=decoder.hwaccel,
        threads=decoder.threads,
        strict=video.strict,
        ffmpeg=video.ffmpeg,
    )
    if plan.live:
        return SessionSource(open_live(request, config.stream, capacity=capacity))
    pruning = None
    if video.prune == "auto":
        request = replace(request, start_s=first_second(plan, config))
        pruning = prune(request)
        if request.start_s and pruning is not None and pruning.obstacle is not None:
            request = replace(request, start_s=None)
            pruning = prune(request)
    return SessionSource(open_source(request, capacity=capacity, pruning=pruning), pruning)


def first_second(plan: SessionPlan, config: RunConfig) -> int:
    """The stream second from which a session must be played: 0, but for the questions of
    `mode: offline`, which begin where their windows begin.

    A whole second, an even number of frames after 0: models that take frames in pairs find the same
    pairs.
    """
    observes = config.memory.long_term and "observation" in config.memory.write
    if config.stream.mode != "offline" or plan.instructions or observes or not plan.queries:
        return 0
    windows = [window_of(system.window) for system, _ in system_configs(config).values()]
    # The oldest frame of a window may be the second one of its pair.
    reach = Fraction(frames_back(windows, config.video.fps) + 2) / config.video.fps
    asked = min(query.question.t_ns for query in plan.queries)
    step = 2 * config.video.fps.denominator
    return max(0, int((Fraction(asked, NS_PER_S) - reach) // step) * step)
