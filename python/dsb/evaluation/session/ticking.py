"""Standing instructions of a session: every tick is asked, routed and logged, silent ones too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dsb.benchmarks.item import YES_NO
from dsb.config.schema import BLIND
from dsb.evaluation.plan import PlannedInstruction
from dsb.evaluation.session.load import S2Queues
from dsb.evaluation.session.recorder import Recorder
from dsb.evaluation.session.retrying import with_retries
from dsb.evaluation.session.routes import record_features, record_route
from dsb.evaluation.session.setup import Rules
from dsb.models.backend import Turn, Usage
from dsb.models.certainty import certainty_of_turn
from dsb.routing.decision import Decision, decide
from dsb.routing.features import RouteFeatures, S1Signals
from dsb.routing.router import Action, Router
from dsb.runlog.records import MAX_TICKS_PER_RECORD, Turns
from dsb.stream.view import StreamView
from dsb.stream.window import NS_PER_S
from dsb.systems.question import Question
from dsb.systems.system import System


class Ticker:
    """Polls the standing instructions of one session."""

    def __init__(
        self,
        rules: Rules,
        systems: Mapping[str, System],
        routers: Sequence[Router],
        queues: S2Queues,
        recorder: Recorder,
    ) -> None:
        self._rules = rules
        self._systems = systems
        self._routers = routers
        self._queues = queues
        self._recorder = recorder
        self._questions: dict[str, Question] = {}
        #: Instructions with ticks that nobody saw.
        self.missed: list[str] = []
        #: Systems that could not take an instruction are not polled about it.
        self._deaf: set[tuple[str, str]] = set()
        self._ticks: defaultdict[tuple[str, str], list[_Tick]] = defaultdict(list)
        self._features: defaultdict[str, list[RouteFeatures]] = defaultdict(list)
        self._routes: defaultdict[tuple[str, str], list[tuple[int, Decision]]] = defaultdict(list)

    def watch(self, instruction: PlannedInstruction, view: StreamView) -> None:
        """Give an instruction to every system."""
        question = instruction.question
        self._questions[question.query] = question
        for name, system in self._systems.items():
            taken = with_retries(
                lambda system=system: system.watch(question, view) or True,  # type: ignore[misc]
                self._recorder,
                queries=[question.query],
                system=name,
                retries=self._rules.retries,
            )
            if taken is None:
                self._deaf.add((name, question.query))

    def tick(self, view: StreamView, queries: Sequence[str]) -> None:
        """All instructions that have a tick at the time of `view`."""
        if self._rules.collect == "both":
            firsts = self._poll("s1", view, queries)
            slows = self._poll("s2", view, queries)
            features = self._see(view, queries, firsts)
            for router in self._routers:
                chosen = self._route(router, view, features)
                self._send(router, view.t_ns, chosen, firsts, slows)
        else:
            self._tick_routed(view, queries)
        if BLIND in self._systems:
            self._poll(BLIND, view, queries)

    def miss(self, t_ns: int, queries: Sequence[str]) -> None:
        """A tick of a stream that is over: nobody knows what was to be said."""
        self.missed += [query for query in queries if query not in self.missed]
        for query in queries:
            for name in self._systems:
                self._log_tick(name, query, _Tick.unknown(t_ns))

    def finish(self, query: str) -> None:
        """The instruction has had its last tick: log what is left of it."""
        for name in self._systems:
            self._flush_ticks(name, query)
        self._flush_features(query)
        for router in self._routers:
            self._flush_routes(router, query)
        self._recorder.tally.asked.add(query)

    def _tick_routed(self, view: StreamView, queries: Sequence[str]) -> None:
        router = self._routers[0]
        firsts = self._poll("s1", view, queries) if router.stage == "after_s1" else {}
        chosen = self._route(router, view, self._see(view, queries, firsts))
        slows = self._poll("s2", view, [query for query in queries if chosen[query] == "s2"])
        self._send(router, view.t_ns, chosen, firsts, slows)
        if router.stage == "before_s1":
            self._poll("s1", view, [query for query in queries if chosen[query] == "s1"])

    # -- systems -----------------------------------------------------------------------------------

    def _poll(self, name: str, view: StreamView, queries: Sequence[str]) -> dict[str, _Tick]:
        """The ticks of one system; where it fails, the tick is unknown."""
        asked = [query for query in queries if (name, query) not in self._deaf]
        if not asked:
            return {}
        turns = with_retries(
            lambda: self._systems[name].tick(view.t_ns, view, asked),
            self._recorder,
            queries=asked,
            system=name,
            retries=self._rules.retries,
        )
        ticks = {query: _Tick.unknown(view.t_ns) for query in asked}
        # The blind control has no frame to wait for.
        newest = None if name == BLIND or not view.visible else view.visible - 1
        for turn in turns or ():
            ticks[turn.query] = _Tick.of(self._with_threshold(turn), newest)
        for query, tick in ticks.items():
            self._log_tick(name, query, tick)
        return ticks

    def _with_threshold(self, turn: Turn) -> Turn:
        """Where the model gives a score the run's threshold decides; otherwise the model itself."""
        if turn.score is None or turn.action == "standby":
            return turn
        speaks = turn.score >= self._rules.threshold
        return replace(turn, action="speak" if speaks else "silent")

    def _log_tick(self, name: str, query: str, tick: _Tick) -> None:
        turn = tick.turn
        if turn is not None and turn.action == "speak" and turn.reply is not None:
            candidates = YES_NO if turn.reply.candidate_logprobs else ()
            self._recorder.call(query, name, "tick", turn.reply, candidates)
        pending = self._ticks[name, query]
        pending.append(tick)
        if len(pending) == MAX_TICKS_PER_RECORD:
            self._flush_ticks(name, query)

    def _flush_ticks(self, name: str, query: str) -> None:
        ticks = self._ticks.pop((name, query), [])
        if not ticks:
            return
        self._recorder.write(
            Turns,
            t_stream_ns=ticks[-1].t_ns,
            query=query,
            system=name,
            ticks_ns=[tick.t_ns for tick in ticks],
            states=[tick.state for tick in ticks],
            actions=["silent" if tick.turn is None else tick.turn.action for tick in ticks],
            scores=[None if tick.turn is None else tick.turn.score for tick in ticks],
            service_ns=[tick.service_ns for tick in ticks],
            visual_tokens=[tick.usage.visual_tokens for tick in ticks],
            input_tokens=[tick.usage.input_tokens for tick in ticks],
        )

    # -- routers -----------------------------------------------------------------------------------

    def _see(
        self, view: StreamView, queries: Sequence[str], firsts: Mapping[str, _Tick]
    ) -> dict[str, RouteFeatures]:
        """What routers may see of each instruction, written down whole."""
        seen = {}
        for query in queries:
            question = self._questions[query]
            seen[query] = RouteFeatures(
                question=question.text,
                options=question.options,
                t_s=view.t_ns / NS_PER_S,
                standing=True,
                s1=firsts[query].signals if query in firsts else None,
            )
            self._features[query].append(seen[query])
            if len(self._features[query]) == MAX_TICKS_PER_RECORD:
                self._flush_features(query)
        return seen

    def _flush_features(self, query: str) -> None:
        if seen := self._features.pop(query, []):
            record_features(self._recorder, query, seen)

    def _route(
        self, router: Router, view: StreamView, features: Mapping[str, RouteFeatures]
    ) -> dict[str, Action]:
        load = self._queues.of(router.label).load(view.t_ns)
        chosen: dict[str, Action] = {}
        for query, seen in features.items():
            decision = decide(router, seen, load, self._rules.fallback)
            chosen[query] = decision.action
            pending = self._routes[query, router.label]
            pending.append((view.t_ns, decision))
            if len(pending) == MAX_TICKS_PER_RECORD:
                self._flush_routes(router, query)
        return chosen

    def _flush_routes(self, router: Router, query: str) -> None:
        routes = self._routes.pop((query, router.label), [])
        if routes:
            ticks_ns = [tick_ns for tick_ns, _ in routes]
            record_route(
                self._recorder, router, query, [decision for _, decision in routes], ticks_ns
            )

    def _send(
        self,
        router: Router,
        t_ns: int,
        chosen: Mapping[str, Action],
        firsts: Mapping[str, _Tick],
        slows: Mapping[str, _Tick],
    ) -> None:
        """Keep S2 busy with what this router sent to it: one call for all instructions of a tick."""
        sent = [
            slows[query].service_ns
            for query, action in chosen.items()
            if action == "s2" and query in slows
        ]
        if sent:
            waited = [first.service_ns for first in firsts.values()] or [0]
            sent_ns = t_ns + (max(waited) if router.stage == "after_s1" else 0)
            self._queues.of(router.label).send(sent_ns, max(sent))


@dataclass(frozen=True)
class _Tick:
    """One tick of one instruction in one system."""

    t_ns: int
    #: A tick counts as silent only if the frame at the tick was processed.
    state: Literal["processed", "unknown"]
    #: `None` where the system failed, or was not asked in time.
    turn: Turn | None

    @classmethod
    def unknown(cls, t_ns: int) -> _Tick:
        """Nobody knows what the system would have said."""
        return cls(t_ns, "unknown", None)

    @classmethod
    def of(cls, turn: Turn, newest: int | None) -> _Tick:
        """`newest` is the id of the frame at the tick; `None` where there is none to wait for."""
        through = -1 if turn.processed_through is None else turn.processed_through
        late = newest is not None and through < newest
        return cls(turn.tick_ns, "unknown" if late else "processed", turn)

    @property
    def service_ns(self) -> int:
        """Wall time of the call behind it."""
        return (
            0 if self.turn is None or self.turn.reply is None else self.turn.reply.timing.service_ns
        )

    @property
    def usage(self) -> Usage:
        """Tokens of the call behind it."""
        return Usage() if self.turn is None or self.turn.reply is None else self.turn.reply.usage

    @property
    def signals(self) -> S1Signals | None:
        """What it tells a router where S1 is the system."""
        if self.turn is None or self.state == "unknown":
            return None
        text = self.turn.text or self.turn.action
        return S1Signals(certainty_of_turn(self.turn), need_s2=False, text=text)
