"""What a session writes into long-term memory: finished exchanges, and notes of what S1 sees."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dsb.config.schema import RunConfig
from dsb.evaluation.session.recorder import Recorder
from dsb.evaluation.session.retrying import with_retries
from dsb.memory.dialogue import record_of_exchange, record_of_observation
from dsb.memory.record import Memory, MemoryRecord
from dsb.runlog.records import MemoryWrite
from dsb.stream.view import StreamView
from dsb.systems.question import Question
from dsb.systems.system import System, SystemAnswer


@dataclass(frozen=True)
class WritingRules:
    """What is written, and when it can be seen."""

    #: Finished exchanges are written.
    dialogue: bool
    #: Question behind a note.
    note_prompt: str
    #: Answers take stream time. On the virtual clock they take none: one nanosecond keeps a record
    #: from questions of the same moment and does not make results depend on the machine.
    realtime: bool
    retries: int

    @classmethod
    def of(cls, config: RunConfig) -> WritingRules:
        """As the run is configured."""
        return cls(
            dialogue="dialogue" in config.memory.write,
            note_prompt=config.memory.observe_prompt,
            realtime=config.stream.clock == "realtime",
            retries=config.output.retries,
        )

    def taken_ns(self, answer: SystemAnswer) -> int:
        """Stream time until an answer is there, in nanoseconds."""
        return answer.service_ns if self.realtime else 1


class MemoryWriter:
    """The one way of a session into its long-term memory."""

    def __init__(
        self, rules: WritingRules, memory: Memory | None, s1: System, recorder: Recorder
    ) -> None:
        """`memory` is `None` where the configuration keeps none; then nothing is written."""
        self._rules = rules
        self._memory = memory
        self._s1 = s1
        self._recorder = recorder
        self._newest_ns = 0

    def finish_exchange(self, question: Question, answer: SystemAnswer) -> None:
        """Write down a question and what was answered."""
        if self._rules.dialogue:
            self._write(
                record_of_exchange(
                    self._recorder.session,
                    question.query,
                    question.text,
                    answer.text,
                    question.t_ns,
                    self._rules.taken_ns(answer),
                )
            )

    def note(self, view: StreamView) -> None:
        """Let S1 write down what is visible now."""
        question = Question(f"observation:{view.t_ns}", view.t_ns, self._rules.note_prompt)
        answer = with_retries(
            lambda: self._s1.answer(question, view),
            self._recorder,
            queries=[question.query],
            system="s1",
            retries=self._rules.retries,
        )
        if answer is None:
            # The log has it; it is no item, so it is not among the failed ones.
            self._recorder.tally.failed.discard(question.query)
            return
        for made in answer.calls:
            self._recorder.call(question.query, "s1", "observe", made.reply, made.candidates)
        self._write(
            record_of_observation(
                self._recorder.session, answer.text, view.t_ns, self._rules.taken_ns(answer)
            )
        )

    def _write(self, record: MemoryRecord) -> None:
        if self._memory is None:
            return
        # A slow answer may become visible after a later, faster one was asked for; memory wants
        # them in order.
        self._newest_ns = max(self._newest_ns, record.t_visible_ns)
        record = replace(record, t_visible_ns=self._newest_ns)
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
