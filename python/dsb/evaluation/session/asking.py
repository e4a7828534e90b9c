"""Questions of a session: who is asked, and what the routers decide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from dsb.config.schema import BLIND
from dsb.evaluation.plan import PlannedQuery
from dsb.evaluation.session.load import S2Queues
from dsb.evaluation.session.recorder import Recorder
from dsb.evaluation.session.remembering import MemoryWriter
from dsb.evaluation.session.retrying import with_retries
from dsb.evaluation.session.routes import record_features, record_route, signals_of
from dsb.evaluation.session.setup import Rules
from dsb.models.backend import Message
from dsb.routing.decision import decide
from dsb.routing.features import RouteFeatures, S1Signals
from dsb.routing.router import Action, Router
from dsb.runlog.records import Answered, RetrievalMade
from dsb.stream.view import StreamView
from dsb.stream.window import NS_PER_S
from dsb.systems.question import Question
from dsb.systems.system import System, SystemAnswer


class Asker:
    """Asks the questions of one session, one after the other in stream time."""

    def __init__(
        self,
        rules: Rules,
        systems: Mapping[str, System],
        routers: Sequence[Router],
        queues: S2Queues,
        writer: MemoryWriter,
        queries: Sequence[PlannedQuery],
        recorder: Recorder,
    ) -> None:
        self._rules = rules
        self._systems = systems
        self._routers = routers
        self._queues = queues
        self._writer = writer
        self._planned = {planned.question.query: planned for planned in queries}
        self._recorder = recorder
        #: Per system: question -> its own answer, for the history of later exchanges.
        self._answers: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def ask(self, planned: PlannedQuery, view: StreamView) -> None:
        """Put one question to the systems and the routers, and log everything."""
        ask = self._ask_both if self._rules.collect == "both" else self._ask_routed
        delivered = ask(planned, view)
        # The control without pictures is asked whatever the router says.
        if BLIND in self._systems:
            self._answer(BLIND, planned, view)
        if delivered is not None:
            self._writer.finish_exchange(planned.question, delivered)
        self._recorder.tally.asked.add(planned.question.query)

    def _ask_both(self, planned: PlannedQuery, view: StreamView) -> SystemAnswer | None:
        """Both systems answer; every router says what it would have done. What S1 said is
        remembered, so that memory does not depend on any router.
        """
        answers: dict[Action, SystemAnswer | None] = {
            "s1": self._answer("s1", planned, view),
            "s2": self._answer("s2", planned, view),
        }
        features = self._features(planned, signals_of(answers["s1"]))
        for place, router in enumerate(self._routers):
            action = self._route(router, planned, features, deciding=place == 0)
            self._send(router, planned, action, answers)
            if place == 0:
                self._deliver(planned, answers[action])
        return answers["s1"]

    def _ask_routed(self, planned: PlannedQuery, view: StreamView) -> SystemAnswer | None:
        """Only the system that the router picks answers, after S1 where the router wants to see
        S1's answer.
        """
        router = self._routers[0]
        answers: dict[Action, SystemAnswer | None] = {"s1": None, "s2": None}
        if router.stage == "after_s1":
            answers["s1"] = self._answer("s1", planned, view)
        features = self._features(planned, signals_of(answers["s1"]))
        action = self._route(router, planned, features, deciding=True)
        if action == "s2" or router.stage == "before_s1":
            answers[action] = self._answer(action, planned, view)
        self._send(router, planned, action, answers)
        chosen = answers[action]
        if chosen is not None:
            # The dialogue goes on with what was delivered, whoever said it.
            for name in ("s1", "s2"):
                self._answers[name][planned.question.query] = chosen.text
        self._deliver(planned, chosen)
        return chosen

    def _send(
        self,
        router: Router,
        planned: PlannedQuery,
        action: Action,
        answers: Mapping[Action, SystemAnswer | None],
    ) -> None:
        """Keep S2 busy with what this router sent to it, once S1 has said what the router waited for."""
        first, slow = answers["s1"], answers["s2"]
        if action == "s2" and slow is not None:
            waited_ns = first.service_ns if first and router.stage == "after_s1" else 0
            sent_ns = planned.question.t_ns + waited_ns
            self._queues.of(router.label).send(sent_ns, slow.service_ns)

    def _deliver(self, planned: PlannedQuery, answer: SystemAnswer | None) -> None:
        if answer is not None:
            self._recorder.tally.delivered[planned.question.query] = answer.text

    def _answer(self, name: str, planned: PlannedQuery, view: StreamView) -> SystemAnswer | None:
        question = self._with_history(name, planned)
        answer = with_retries(
            lambda: self._systems[name].answer(question, view),
            self._recorder,
            queries=[question.query],
            system=name,
            retries=self._rules.retries,
        )
        if answer is None:
            return None
        self._log_answer(question.query, name, answer)
        self._answers[name][question.query] = answer.text
        return answer

    def _log_answer(self, query: str, name: str, answer: SystemAnswer) -> None:
        if answer.retrieval is not None:
            self._recorder.write(
                RetrievalMade,
                query=query,
                system=name,
                record_ids=[hit.record.id for hit in answer.retrieval.hits],
                scores=[hit.score for hit in answer.retrieval.hits],
                visible=answer.retrieval.visible,
                service_ns=answer.retrieval.service_ns,
            )
        for made in answer.calls:
            self._recorder.call(query, name, made.purpose, made.reply, made.candidates)
        self._recorder.write(
            Answered,
            query=query,
            system=name,
            text=answer.text,
            **asdict(answer.certainty),
            need_s2=answer.need_s2,
            service_ns=answer.service_ns,
            calls=len(answer.calls),
        )

    def _with_history(self, name: str, planned: PlannedQuery) -> Question:
        if not planned.earlier:
            return planned.question
        history: list[Message] = []
        for query in planned.earlier:
            # An exchange that failed is left out: an error is not an answer.
            if (text := self._answers[name].get(query)) is not None:
                asked = self._planned[query].as_exchange
                history += [Message("user", asked), Message("assistant", text)]
        return replace(planned.question, history=tuple(history))

    def _features(self, planned: PlannedQuery, signals: S1Signals | None) -> RouteFeatures:
        """What routers may see, written down whole."""
        question = planned.question
        features = RouteFeatures(
            question=question.text,
            options=question.options,
            t_s=question.t_ns / NS_PER_S,
            exchanges_before=planned.exchanges_before,
            s1=signals,
        )
        record_features(self._recorder, question.query, [features])
        return features

    def _route(
        self, router: Router, planned: PlannedQuery, features: RouteFeatures, *, deciding: bool
    ) -> Action:
        load = self._queues.of(router.label).load(planned.question.t_ns)
        decision = decide(router, features, load, self._rules.fallback)
        record_route(self._recorder, router, planned.question.query, [decision])
        if deciding:
            self._recorder.tally.routed[decision.action] += 1
        return decision.action
