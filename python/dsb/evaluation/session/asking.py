"""Questions of a session: who is asked, what the routers decide, and what is remembered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dsb.config.schema import RunConfig
from dsb.evaluation.plan import PlannedQuery
from dsb.evaluation.session.recorder import Recorder
from dsb.evaluation.session.retrying import tried
from dsb.evaluation.session.routes import record_route, signals_of
from dsb.memory.dialogue import record_of_observation, record_of_turn
from dsb.memory.record import Memory, MemoryRecord
from dsb.models.backend import Message
from dsb.routing.decision import decide
from dsb.routing.router import Action, RouteFeatures, Router, S1Signals
from dsb.runlog.records import Answered, MemoryWrite, RetrievalMade
from dsb.stream.view import StreamView
from dsb.systems.question import Question
from dsb.systems.system import System, SystemAnswer

#: The control without pictures; it is asked whatever the router says.
_BLIND = "blind"


class Asker:
    """Asks the questions of one session, one after the other in stream time."""

    def __init__(
        self,
        config: RunConfig,
        systems: Mapping[str, System],
        routers: Sequence[Router],
        memory: Memory | None,
        queries: Sequence[PlannedQuery],
        recorder: Recorder,
    ) -> None:
        self._config = config
        self._systems = systems
        self._routers = routers
        self._memory = memory
        self._planned = {query.question.key: query for query in queries}
        self._recorder = recorder
        #: Per system: question -> its own answer, for the history of later turns.
        self._answers: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._remembered_ns = 0

    def ask(self, query: PlannedQuery, view: StreamView) -> None:
        """Put one question to the systems and the routers, and log everything."""
        if self._config.system.collect == "both":
            delivered = self._ask_both(query, view)
        else:
            delivered = self._ask_routed(query, view)
        if _BLIND in self._systems:
            self._answer(_BLIND, query, view)
        if delivered is not None and "dialogue" in self._config.memory.write:
            # On the virtual clock an answer takes no stream time; one nanosecond keeps it from
            # questions of the same moment and does not make results depend on the machine.
            taken_ns = delivered.service_ns if self._config.stream.clock == "realtime" else 1
            self._remember(
                record_of_turn(
                    self._recorder.session,
                    query.question.key,
                    query.question.text,
                    delivered.text,
                    view.t_ns,
                    taken_ns,
                )
            )
        self._recorder.tally.asked.add(query.question.key)

    def observe(self, view: StreamView) -> None:
        """Let S1 write down what is visible now."""
        question = Question(
            f"observation:{view.t_ns}", view.t_ns, self._config.memory.observe_prompt
        )
        note = tried(
            lambda: self._systems["s1"].answer(question, view),
            self._recorder,
            queries=[question.key],
            system="s1",
            retries=self._config.output.retries,
        )
        if note is None:
            # The log has it; it is no item, so it is not among the failed ones.
            self._recorder.tally.failed.discard(question.key)
            return
        for made in note.calls:
            self._recorder.call(question.key, "s1", "observe", made.reply, made.candidates)
        taken_ns = note.service_ns if self._config.stream.clock == "realtime" else 1
        self._remember(
            record_of_observation(self._recorder.session, note.text, view.t_ns, taken_ns)
        )

    def _ask_both(self, query: PlannedQuery, view: StreamView) -> SystemAnswer | None:
        """Both systems answer; every router says what it would have done. What S1 said is
        remembered, so that memory does not depend on any router.
        """
        first = self._answer("s1", query, view)
        answers = {"s1": first, "s2": self._answer("s2", query, view)}
        for place, router in enumerate(self._routers):
            action = self._route(router, query, signals_of(first), deciding=place == 0)
            if place == 0:
                self._deliver(query, answers[action])
        return first

    def _ask_routed(self, query: PlannedQuery, view: StreamView) -> SystemAnswer | None:
        """Only the system that the router picks answers, after S1 where the router wants to see
        S1's answer.
        """
        router = self._routers[0]
        first = self._answer("s1", query, view) if router.stage == "after_s1" else None
        action = self._route(router, query, signals_of(first), deciding=True)
        chosen = first
        if action == "s2" or router.stage == "before_s1":
            chosen = self._answer(action, query, view)
        if chosen is not None:
            # The dialogue goes on with what was delivered, whoever said it.
            for name in ("s1", "s2"):
                self._answers[name][query.question.key] = chosen.text
        self._deliver(query, chosen)
        return chosen

    def _deliver(self, query: PlannedQuery, answer: SystemAnswer | None) -> None:
        if answer is not None:
            self._recorder.tally.delivered[query.question.key] = answer.text

    def _answer(self, name: str, query: PlannedQuery, view: StreamView) -> SystemAnswer | None:
        question = self._with_history(name, query)
        answer = tried(
            lambda: self._systems[name].answer(question, view),
            self._recorder,
            queries=[question.key],
            system=name,
            retries=self._config.output.retries,
        )
        if answer is None:
            return None
        self._log_answer(question.key, name, answer)
        self._answers[name][question.key] = answer.text
        return answer

    def _log_answer(self, key: str, name: str, answer: SystemAnswer) -> None:
        if answer.retrieval is not None:
            self._recorder.write(
                RetrievalMade,
                query=key,
                system=name,
                record_ids=[hit.record.id for hit in answer.retrieval.hits],
                scores=[hit.score for hit in answer.retrieval.hits],
                visible=answer.retrieval.visible,
                service_ns=answer.retrieval.service_ns,
            )
        for made in answer.calls:
            self._recorder.call(key, name, made.purpose, made.reply, made.candidates)
        self._recorder.write(
            Answered,
            query=key,
            system=name,
            text=answer.text,
            confidence=answer.confidence,
            margin=answer.margin,
            entropy=answer.entropy,
            need_s2=answer.need_s2,
            service_ns=answer.service_ns,
            calls=len(answer.calls),
        )

    def _with_history(self, name: str, query: PlannedQuery) -> Question:
        if not query.earlier:
            return query.question
        history: list[Message] = []
        for key in query.earlier:
            # A turn that failed is left out: an error is not an answer.
            if (text := self._answers[name].get(key)) is not None:
                asked = self._planned[key].as_turn
                history += [Message("user", asked), Message("assistant", text)]
        return replace(query.question, history=tuple(history))

    def _route(
        self, router: Router, query: PlannedQuery, signals: S1Signals | None, *, deciding: bool
    ) -> Action:
        question = query.question
        features = RouteFeatures(
            question=question.text,
            options=question.options,
            t_s=question.t_ns / 1e9,
            standing=False,
            history_turns=query.turns_before,
            s1=signals if router.stage == "after_s1" else None,
        )
        decision = decide(router, features, self._config.system.scheduler.fallback)
        record_route(self._recorder, router, question.key, [decision])
        if deciding:
            self._recorder.tally.routed[decision.action] += 1
        return decision.action

    def _remember(self, record: MemoryRecord) -> None:
        if self._memory is None:
            return
        # A slow answer may become visible after a later, faster one was asked for; memory wants
        # them in order.
        self._remembered_ns = max(self._remembered_ns, record.t_visible_ns)
        record = replace(record, t_visible_ns=self._remembered_ns)
        self._memory.write(record)
        self._recorder.write(
            MemoryWrite,
            record_id=record.id,
            record_kind=record.kind,
            text=record.text,
            t_start_ns=record.t_start_ns,
            t_end_ns=record.t_end_ns,
            t_visible_ns=record.t_visible_ns,
        )
