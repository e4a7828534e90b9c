"""Standing instructions of a session: every tick is asked, routed and logged, silent ones too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dsb.config.schema import RunConfig
from dsb.evaluation.plan import PlannedWatch
from dsb.evaluation.session.recorder import Recorder
from dsb.evaluation.session.retrying import tried
from dsb.evaluation.session.routes import record_route
from dsb.models.backend import Turn
from dsb.routing.decision import Decision, decide
from dsb.routing.router import Action, RouteFeatures, Router, S1Signals
from dsb.runlog.records import MAX_TICKS_PER_RECORD, Turns
from dsb.stream.view import StreamView
from dsb.systems.question import Question
from dsb.systems.signals import of_turn
from dsb.systems.system import YES_NO, System


class Ticker:
    """Polls the standing instructions of one session."""

    def __init__(
        self,
        config: RunConfig,
        systems: Mapping[str, System],
        routers: Sequence[Router],
        recorder: Recorder,
    ) -> None:
        self._config = config
        self._systems = systems
        self._routers = routers
        self._recorder = recorder
        self._questions: dict[str, Question] = {}
        #: Instructions with ticks that nobody saw.
        self.missed: list[str] = []
        #: Systems that could not take an instruction are not polled about it.
        self._deaf: set[tuple[str, str]] = set()
        self._turns: defaultdict[tuple[str, str], list[Turn]] = defaultdict(list)
        self._routes: defaultdict[tuple[str, str], list[tuple[int, Decision]]] = defaultdict(list)

    def watch(self, watch: PlannedWatch, view: StreamView) -> None:
        """Give an instruction to every system."""
        question = watch.question
        self._questions[question.key] = question
        for name, system in self._systems.items():
            taken = tried(
                lambda system=system: system.watch(question, view) or True,  # type: ignore[misc]
                self._recorder,
                queries=[question.key],
                system=name,
                retries=self._config.output.retries,
            )
            if taken is None:
                self._deaf.add((name, question.key))

    def tick(self, view: StreamView, keys: Sequence[str]) -> None:
        """All instructions that have a tick at the time of `view`."""
        if self._config.system.collect == "both":
            firsts = self._poll("s1", view, keys)
            self._poll("s2", view, keys)
            for router in self._routers:
                self._route(router, view, keys, firsts)
        else:
            self._tick_routed(view, keys)
        if "blind" in self._systems:
            self._poll("blind", view, keys)

    def miss(self, t_ns: int, keys: Sequence[str]) -> None:
        """A tick of a stream that is over: nobody knows what was to be said."""
        self.missed += [key for key in keys if key not in self.missed]
        for key in keys:
            for name in self._systems:
                self._log_turn(name, Turn(key, t_ns, "unknown", "silent", None, "", None))

    def finish(self, key: str) -> None:
        """The instruction has had its last tick: log what is left of it."""
        for name in self._systems:
            self._flush_turns(name, key)
        for router in self._routers:
            self._flush_routes(router, key)
        self._recorder.tally.asked.add(key)

    def _tick_routed(self, view: StreamView, keys: Sequence[str]) -> None:
        router = self._routers[0]
        firsts = self._poll("s1", view, keys) if router.stage == "after_s1" else {}
        chosen = self._route(router, view, keys, firsts)
        self._poll("s2", view, [key for key in keys if chosen[key] == "s2"])
        if router.stage == "before_s1":
            self._poll("s1", view, [key for key in keys if chosen[key] == "s1"])

    def _poll(self, name: str, view: StreamView, keys: Sequence[str]) -> dict[str, Turn]:
        """The turns of one system; where it fails, the tick is unknown."""
        asked = [key for key in keys if (name, key) not in self._deaf]
        if not asked:
            return {}
        turns = tried(
            lambda: self._systems[name].tick(view.t_ns, view, asked),
            self._recorder,
            queries=asked,
            system=name,
            retries=self._config.output.retries,
        )
        if turns is None:
            turns = [Turn(key, view.t_ns, "unknown", "silent", None, "", None) for key in asked]
        decided = {turn.key: self._with_threshold(turn) for turn in turns}
        for turn in decided.values():
            self._log_turn(name, turn)
        return decided

    def _with_threshold(self, turn: Turn) -> Turn:
        """Where the model gives a score the run's threshold decides; otherwise the model itself."""
        if turn.score is None or turn.action == "standby":
            return turn
        speaks = turn.score >= self._config.system.proactive.threshold
        return replace(turn, action="speak" if speaks else "silent")

    def _log_turn(self, name: str, turn: Turn) -> None:
        if turn.action == "speak" and turn.reply is not None:
            candidates = YES_NO if turn.reply.candidate_logprobs else ()
            self._recorder.call(turn.key, name, "tick", turn.reply, candidates)
        pending = self._turns[name, turn.key]
        pending.append(turn)
        if len(pending) == MAX_TICKS_PER_RECORD:
            self._flush_turns(name, turn.key)

    def _flush_turns(self, name: str, key: str) -> None:
        turns = self._turns.pop((name, key), [])
        if not turns:
            return
        costs = [_Cost.of(turn) for turn in turns]
        self._recorder.write(
            Turns,
            t_stream_ns=turns[-1].tick_ns,
            query=key,
            system=name,
            ticks_ns=[turn.tick_ns for turn in turns],
            states=[turn.state for turn in turns],
            actions=[turn.action for turn in turns],
            scores=[turn.score for turn in turns],
            service_ns=[cost.service_ns for cost in costs],
            visual_tokens=[cost.visual_tokens for cost in costs],
            input_tokens=[cost.input_tokens for cost in costs],
        )

    def _route(
        self, router: Router, view: StreamView, keys: Sequence[str], firsts: Mapping[str, Turn]
    ) -> dict[str, Action]:
        chosen: dict[str, Action] = {}
        for key in keys:
            question = self._questions[key]
            features = RouteFeatures(
                question=question.text,
                options=question.options,
                t_s=view.t_ns / 1e9,
                standing=True,
                history_turns=0,
                s1=_signals(firsts.get(key)) if router.stage == "after_s1" else None,
            )
            decision = decide(router, features, self._config.system.scheduler.fallback)
            chosen[key] = decision.action
            pending = self._routes[key, router.name]
            pending.append((view.t_ns, decision))
            if len(pending) == MAX_TICKS_PER_RECORD:
                self._flush_routes(router, key)
        return chosen

    def _flush_routes(self, router: Router, key: str) -> None:
        routes = self._routes.pop((key, router.name), [])
        if routes:
            ticks_ns = [tick_ns for tick_ns, _ in routes]
            record_route(
                self._recorder, router, key, [decision for _, decision in routes], ticks_ns
            )


@dataclass(frozen=True)
class _Cost:
    service_ns: int = 0
    visual_tokens: int = 0
    input_tokens: int = 0

    @classmethod
    def of(cls, turn: Turn) -> _Cost:
        if turn.reply is None:
            return cls()
        usage = turn.reply.usage
        return cls(turn.reply.timing.service_ns, usage.visual_tokens, usage.input_tokens)


def _signals(turn: Turn | None) -> S1Signals | None:
    if turn is None or turn.state == "unknown":
        return None
    sure = of_turn(turn)
    return S1Signals(sure.confidence, sure.margin, sure.entropy, False, turn.text or turn.action)
