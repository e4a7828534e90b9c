"""One session: a video played once from its start, with everything that is asked on the way.

Events come from the core's scheduler in stream-time order. Frames go to the systems when they come
on screen; questions and ticks see a `StreamView` of their moment, which cannot show anything later.
A query that fails is logged and the session goes on; a decoder that fails ends the session without
a `session_end`, so that a resumed run plays it again. A live stream does not come again: what can
no longer be asked fails, and the session ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from dsb._core import Event, FrameSource, Scheduler
from dsb.errors import BudgetExceeded, RunError, SourceError, StreamLost
from dsb.evaluation.plan import PlannedWatch, SessionPlan
from dsb.evaluation.session.asking import Asker
from dsb.evaluation.session.feed import BATCH, FrameFeed, frames_back
from dsb.evaluation.session.pace import LivePace, Pace, Recorded
from dsb.evaluation.session.recorder import OnStep, Recorder, Tally
from dsb.evaluation.session.setup import RunSetup
from dsb.evaluation.session.sizing import frame_size
from dsb.evaluation.session.source import SessionSource, open_session_source
from dsb.evaluation.session.ticking import Ticker
from dsb.memory.build import build_memory
from dsb.models.backend import Counters
from dsb.runlog.log import LogWriter
from dsb.runlog.records import LiveFigures, SessionEnd, SessionStart
from dsb.stream.probe import describe
from dsb.stream.view import StreamView
from dsb.stream.window import seconds_to_ns
from dsb.systems.build import open_systems, system_configs, window_of
from dsb.systems.system import System

#: Chunks for incremental prefill are the business of backends that have a KV cache to fill; none
#: has one yet.
_NO_PREFILL = 1 << 31


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
        #: What is known about leaving packets out; `None` if that is not tried.
        self.interrupted = False
        #: Name of the session on its backends; an attempt never meets what an earlier one left
        #: there.
        self._name = f"{plan.id}@{attempt}"

    def play(self) -> None:
        with ExitStack() as stack:
            size = frame_size(self._source, self._config.video, self._setup.backends)
            memory = build_memory(self._config.memory, self._plan.id)
            systems = open_systems(
                self._config,
                self._setup.backends,
                self._name,
                size,
                self._fps,
                memory,
                live=self._plan.live,
            )
            for system in systems.values():
                stack.callback(system.close)
            keep = self._frames_to_keep(systems)
            opened = open_session_source(self._plan, self._config, self._setup.decoding, size, keep)
            source = stack.enter_context(opened.frames)
            self._start(source.size, systems)
            pace = self._pace(source, systems, keep)
            asker = Asker(
                self._config,
                systems,
                self._setup.routers,
                memory,
                self._plan.queries,
                self._recorder,
            )
            ticker = Ticker(self._config, systems, self._setup.routers, self._recorder)
            self._run(pace, asker, ticker)
            live = pace.figures()
            source.close()
            self._end(opened, pace.fed, live)

    def start_anyway(self) -> None:
        """Make sure that the attempt is in the log, even if it failed before its first frame."""
        if not self._started:
            self._start((0, 0), {})

    @property
    def _source(self) -> Path | str:
        source = self._config.stream.source
        return source if self._plan.live and source is not None else self._plan.video

    @property
    def _fps(self) -> Fraction:
        return self._config.video.fps

    def _frames_to_keep(self, systems: Mapping[str, System]) -> int:
        configs = system_configs(self._config)
        windows = [
            window_of(configs[name][0].window)
            for name, system in systems.items()
            if system.conversation.abilities.needs_window
        ]
        return frames_back(windows, self._fps)

    def _pace(self, source: FrameSource, systems: Mapping[str, System], keep: int) -> Pace:
        on_window = source.mark_shown if self._plan.live else None
        feed = FrameFeed(source.frames, systems.values(), self._recorder, keep, on_window)
        if self._plan.live:
            return LivePace(source, feed, self._recorder)
        return Recorded(source, feed, realtime=self._config.stream.clock == "realtime")

    def _run(self, pace: Pace, asker: Asker, ticker: Ticker) -> None:
        steps = (
            (t_ns, kind, list(group))
            for (t_ns, kind), group in groupby(self._events(), key=lambda e: (e.t_ns, e.kind))
            if not (self._plan.live and kind == "frames")
        )
        lost: BaseException | None = None
        for t_ns, kind, events in steps:
            if lost is None:
                try:
                    self._step(t_ns, kind, events, pace, asker, ticker)
                    continue
                except (StreamLost, KeyboardInterrupt) as error:
                    if not self._plan.live:
                        raise
                    self.interrupted = isinstance(error, KeyboardInterrupt)
                    lost = StreamLost("interrupted") if self.interrupted else error
            if kind == "poll":
                ticker.miss(t_ns, [self._watch_of(event).question.key for event in events])
        if lost is not None:
            self._give_up(lost, ticker)
        for watch in self._plan.watches:
            ticker.finish(watch.question.key)
        if lost is None:
            self._recorder.step()

    def _step(
        self,
        t_ns: int,
        kind: str,
        events: Sequence[Event],
        pace: Pace,
        asker: Asker,
        ticker: Ticker,
    ) -> None:
        view = pace.reach(t_ns)
        self._recorder.now_ns = t_ns
        if kind == "poll":
            self._tick(events, ticker, view)
        elif kind == "query":
            for event in events:
                if event.key < len(self._plan.queries):
                    asker.ask(self._plan.queries[event.key], view)
                else:
                    asker.observe(view)
                self._recorder.step()

    def _give_up(self, error: BaseException, ticker: Ticker) -> None:
        """What a live stream can no longer be asked has failed; it does not come again."""
        tally = self._recorder.tally
        left = [query.question.key for query in self._plan.queries]
        left = [key for key in left if key not in tally.asked] + ticker.missed
        for key in left:
            for name in system_configs(self._config):
                self._recorder.failure(error, query=key, system=name)
        tally.asked.update(left)
        tally.failed.update(left)

    def _watch_of(self, event: Event) -> PlannedWatch:
        return self._plan.watches[event.key - len(self._plan.queries)]

    def _tick(self, events: Sequence[Event], ticker: Ticker, view: StreamView) -> None:
        watches = [self._watch_of(event) for event in events]
        for event, watch in zip(events, watches, strict=True):
            if event.index == 0:
                ticker.watch(watch, view)
        ticker.tick(view, [watch.question.key for watch in watches])
        self._recorder.step()

    def _events(self) -> Scheduler:
        """Keys: places of the queries, then of the watches, then one for all observations."""
        plan, tick_s = self._plan, self._config.system.proactive.tick_s
        end_ns = self._end_ns()
        asked = [(query.question.t_ns, key) for key, query in enumerate(plan.queries)]
        asked += [(t_ns, len(plan.items)) for t_ns in self._observations(end_ns)]
        spans = [
            (key, watch.question.t_ns, end_ns + 1 if watch.stop_ns is None else watch.stop_ns)
            for key, watch in enumerate(plan.watches, len(plan.queries))
        ]
        return Scheduler(
            frame_rate=(self._fps.numerator, self._fps.denominator),
            end_ns=end_ns,
            queries=asked,
            polls=[
                (key, start, stop, (tick_s.numerator, tick_s.denominator))
                for key, start, stop in spans
                if start < stop
            ],
            prefill_stride=_NO_PREFILL,
            max_frames=BATCH,
        )

    def _end_ns(self) -> int:
        if self._plan.end_ns is not None:
            return self._plan.end_ns
        if self._plan.live:
            raise SourceError(
                "nobody knows when a live stream ends; set `meta.end_s` of its proactive items"
            )
        duration_s = describe(self._plan.video, self._config.video.ffmpeg).duration_s
        if duration_s is None:
            raise SourceError(
                f"{self._plan.video} does not say how long it is, so nobody knows when to stop "
                "polling; set `meta.end_s` of its proactive items"
            )
        # An instruction given after the end has one tick, as a question has one answer.
        asked = [query.question.t_ns for query in self._plan.queries]
        given = [watch.question.t_ns for watch in self._plan.watches]
        return max([seconds_to_ns(duration_s), *asked, *given])

    def _observations(self, end_ns: int) -> list[int]:
        memory = self._config.memory
        if not memory.long_term or "observation" not in memory.write:
            return []
        every_ns = seconds_to_ns(memory.observe_every_s)
        return list(range(every_ns, end_ns + 1, every_ns))

    def _start(self, size: tuple[int, int], systems: Mapping[str, System]) -> None:
        configs = system_configs(self._config)
        self._recorder.write(
            SessionStart,
            attempt=self._attempt,
            video=self._plan.id if self._plan.live else str(self._plan.video),
            items=list(self._plan.items),
            fps=str(self._fps),
            width=size[0],
            height=size[1],
            systems={
                name: {
                    "abilities": asdict(system.conversation.abilities),
                    "settings": configs[name][0].model_dump(mode="json"),
                }
                for name, system in systems.items()
            },
        )
        self._started = True

    def _end(self, opened: SessionSource, frames: int, live: LiveFigures | None) -> None:
        source = opened.frames
        tally = self._recorder.tally
        work = self._work()
        self._recorder.write(
            SessionEnd,
            queries_done=len(tally.asked - tally.failed),
            queries_failed=len(tally.failed),
            # The decoder may be ahead by a few frames that nobody asked for; they depend on timing.
            frames_decoded=frames,
            frames_encoded=work.frames_encoded,
            frames_provisional=work.frames_provisional,
            model_calls=work.model_calls,
            decode_errors=source.decode_errors,
            decode_wall_ns=source.decode_wall_ns,
            decode_cpu_ns=source.decode_cpu_ns,
            encode_ns=work.encode_ns,
            model_ns=work.model_ns,
            prefill_ns=work.prefill_ns,
            tokens_computed=work.tokens_computed,
            patches_evicted=work.patches_evicted,
            wall_ns=self._recorder.wall_ns,
            played_ns=tally.played_ns,
            packets=opened.packets(),
            live=live,
        )
        self._recorder.commit()

    def _work(self) -> Counters:
        """What all backends did for this session; one that S1 and S2 share counts once."""
        total = Counters()
        for backend in {id(each): each for each in self._setup.backends.values()}.values():
            done = backend.counters(self._name)
            total.frames_encoded += done.frames_encoded
            total.frames_provisional += done.frames_provisional
            total.model_calls += done.model_calls
            total.encode_ns += done.encode_ns
            total.model_ns += done.model_ns
            total.prefill_ns += done.prefill_ns
            total.tokens_computed += done.tokens_computed
            total.patches_evicted += done.patches_evicted
        return total
