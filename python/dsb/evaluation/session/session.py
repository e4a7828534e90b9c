"""One session: a video played once from its start, with everything that is asked on the way.

Events come from the core's scheduler in stream-time order. Frames go to the systems when they come
on screen; questions and ticks see a `StreamView` of their moment, which cannot show anything later.
A query that fails is logged and the session goes on; a decoder that fails ends the session without
a `session_end`, so that a resumed run plays it again. A live stream does not come again: what can
no longer be asked fails, and the session ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dsb._core import FrameSource
from dsb.errors import BudgetExceeded, RunError, StreamLost
from dsb.evaluation.plan import SessionPlan
from dsb.evaluation.session.agenda import (
    Agenda,
    Ask,
    End,
    Moment,
    Show,
    Tick,
    Write,
    last_moment_ns,
)
from dsb.evaluation.session.asking import Asker
from dsb.evaluation.session.ends import record_end, record_start, work_of
from dsb.evaluation.session.feed import FrameFeed, frames_back
from dsb.evaluation.session.load import S2Queues
from dsb.evaluation.session.pace import LivePace, Pace, Recorded
from dsb.evaluation.session.recorder import OnStep, Recorder, Tally
from dsb.evaluation.session.remembering import MemoryWriter, WritingRules
from dsb.evaluation.session.setup import Rules, RunSetup
from dsb.evaluation.session.sizing import frame_size
from dsb.evaluation.session.source import open_session_source
from dsb.evaluation.session.ticking import Ticker
from dsb.memory.build import build_memory
from dsb.memory.record import Memory
from dsb.runlog.log import LogWriter
from dsb.stream.probe import describe
from dsb.systems.build import open_systems, system_configs, window_of
from dsb.systems.system import System


@dataclass(frozen=True)
class SessionOutcome:
    """How a session went."""

    session: str
    #: Its `session_end` is on the disk.
    done: bool
    tally: Tally
    wall_ns: int
    #: Why it is not done.
    error: str = ""
    #: Ctrl-C ended it; what it had until then counts, because its stream does not come again.
    interrupted: bool = False


def play_session(
    plan: SessionPlan,
    setup: RunSetup,
    log: LogWriter,
    *,
    attempt: int = 1,
    on_step: OnStep | None = None,
) -> SessionOutcome:
    """Play one session and log it.

    Raises `RunError` when the log cannot be written and `BudgetExceeded` when `on_step` says so;
    every other failure is in the log and in the outcome.
    """
    recorder = Recorder(log, plan.id, save_text=setup.config.output.save_text, on_step=on_step)
    session = _Session(plan, setup, recorder, attempt)
    try:
        session.play()
    except (RunError, BudgetExceeded):
        raise
    except Exception as error:  # noqa: BLE001 - one broken session must not end the run
        session.start_anyway()
        recorder.failure(error, query=None, system=None)
        recorder.commit()
        reason = f"{type(error).__name__}: {error}"
        return SessionOutcome(plan.id, False, recorder.tally, recorder.wall_ns, reason)
    return SessionOutcome(
        plan.id, True, recorder.tally, recorder.wall_ns, interrupted=session.interrupted
    )


class _Session:
    def __init__(
        self, plan: SessionPlan, setup: RunSetup, recorder: Recorder, attempt: int
    ) -> None:
        self._plan = plan
        self._setup = setup
        self._config = setup.config
        self._recorder = recorder
        self._attempt = attempt
        self._started = False
        #: Ctrl-C ended it.
        self.interrupted = False
        #: Name of the session on its backends; an attempt never meets what an earlier one left
        #: there.
        self._name = f"{plan.id}@{attempt}"

    def play(self) -> None:
        config, plan = self._config, self._plan
        with ExitStack() as stack:
            size = frame_size(self._source, config.video, self._setup.backends)
            memory = build_memory(config.memory, plan.id)
            systems = open_systems(
                config,
                self._setup.backends,
                self._name,
                size,
                config.video.fps,
                memory,
                live=plan.live,
            )
            for system in systems.values():
                stack.callback(system.close)
            keep = self._frames_to_keep(systems)
            opened = open_session_source(plan, config, self._setup.decoder, size, keep)
            source = stack.enter_context(opened.frames)
            self._start(source.size, systems)
            pace = self._pace(source, systems, keep)
            self._run(pace, *self._staff(systems, memory))
            live = pace.figures()
            source.close()
            work = work_of(self._setup.backends.values(), self._name)
            record_end(self._recorder, opened, pace.fed, work, live)

    def start_anyway(self) -> None:
        """Make sure that the attempt is in the log, even if it failed before its first frame."""
        if not self._started:
            self._start((0, 0), {})

    def _start(self, size: tuple[int, int], systems: Mapping[str, System]) -> None:
        record_start(
            self._recorder, self._plan, self._config, self._attempt, size=size, systems=systems
        )
        self._started = True

    @property
    def _source(self) -> Path | str:
        source = self._config.stream.source
        return source if self._plan.live and source is not None else self._plan.video

    def _frames_to_keep(self, systems: Mapping[str, System]) -> int:
        configs = system_configs(self._config)
        windows = [
            window_of(configs[name][0].window)
            for name, system in systems.items()
            if system.conversation.abilities.needs_window
        ]
        return frames_back(windows, self._config.video.fps)

    def _pace(self, source: FrameSource, systems: Mapping[str, System], keep: int) -> Pace:
        on_window = source.mark_shown if self._plan.live else None
        feed = FrameFeed(source.frames, systems.values(), self._recorder, keep, on_window)
        if self._plan.live:
            return LivePace(source, feed, self._recorder)
        return Recorded(source, feed, realtime=self._config.stream.clock == "realtime")

    def _staff(
        self, systems: Mapping[str, System], memory: Memory | None
    ) -> tuple[Asker, Ticker, MemoryWriter]:
        config, routers, recorder = self._config, self._setup.routers, self._recorder
        rules = Rules.of(config)
        writer = MemoryWriter(WritingRules.of(config), memory, systems["s1"], recorder)
        queues = S2Queues()
        asker = Asker(rules, systems, routers, queues, writer, self._plan.queries, recorder)
        return asker, Ticker(rules, systems, routers, queues, recorder), writer

    def _agenda(self) -> Agenda:
        config, memory = self._config, self._config.memory
        end_ns = last_moment_ns(
            self._plan, lambda video: describe(video, config.video.ffmpeg).duration_s
        )
        writes = memory.long_term and "observation" in memory.write
        return Agenda(
            self._plan,
            end_ns,
            config.video.fps,
            config.system.proactive.tick_s,
            memory.observe_every_s if writes else None,
        )

    def _run(self, pace: Pace, asker: Asker, ticker: Ticker, writer: MemoryWriter) -> None:
        lost: BaseException | None = None
        for moment in self._agenda():
            # Nobody waits for the frames of a live stream.
            if self._plan.live and isinstance(moment, Show):
                continue
            if lost is None:
                try:
                    self._happen(moment, pace, asker, ticker, writer)
                    continue
                except (StreamLost, KeyboardInterrupt) as error:
                    if not self._plan.live:
                        raise
                    self.interrupted = isinstance(error, KeyboardInterrupt)
                    lost = StreamLost("interrupted") if self.interrupted else error
            if isinstance(moment, Tick):
                ticker.miss(
                    moment.t_ns, [instruction.question.query for instruction in moment.instructions]
                )
        if lost is not None:
            self._give_up(lost, ticker)
        for instruction in self._plan.instructions:
            ticker.finish(instruction.question.query)
        if lost is None:
            self._recorder.step()

    def _happen(
        self, moment: Moment, pace: Pace, asker: Asker, ticker: Ticker, writer: MemoryWriter
    ) -> None:
        view = pace.reach(moment.t_ns)
        self._recorder.now_ns = moment.t_ns
        match moment:
            case Tick():
                for instruction in moment.given:
                    ticker.watch(instruction, view)
                ticker.tick(
                    view, [instruction.question.query for instruction in moment.instructions]
                )
                self._recorder.step()
            case Ask():
                for query in moment.queries:
                    asker.ask(query, view)
                    self._recorder.step()
            case Write():
                writer.note(view)
                self._recorder.step()
            case Show() | End():
                pass

    def _give_up(self, error: BaseException, ticker: Ticker) -> None:
        """What a live stream can no longer be asked has failed; it does not come again."""
        tally = self._recorder.tally
        left = [query.question.query for query in self._plan.queries]
        left = [key for key in left if key not in tally.asked] + ticker.missed
        for key in left:
            for name in system_configs(self._config):
                self._recorder.failure(error, query=key, system=name)
        tally.asked.update(left)
        tally.failed.update(left)
