"""From items to sessions: what is asked when, in one playing of one video.

`mode: stream` makes one session per video. `mode: offline`, the naive baseline, makes one per item,
and one per dialogue, because a later exchange needs the answer to an earlier one. No gold answer gets
into a plan, except the reference history that a benchmark itself puts in front of a question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dsb.benchmarks.item import Item
from dsb.benchmarks.protocol import History, Protocol
from dsb.config.schema import RunConfig
from dsb.models.backend import Message
from dsb.stream.live import source_name
from dsb.stream.window import exact, seconds_to_ns
from dsb.systems.prompt import question_text
from dsb.systems.question import Question

#: Abilities that items may need and sessions can give.
SUPPORTED_NEEDS: frozenset[str] = frozenset()

#: How a question reads when it stands in the history of a later one.
_EXCHANGE = "{question}{options}"


@dataclass(frozen=True)
class PlannedQuery:
    """A question with its place in its dialogue."""

    #: Its history is the reference's, or empty where the systems' own earlier answers belong.
    question: Question
    #: Questions of earlier exchanges whose own answers make up the history, oldest first.
    earlier: tuple[str, ...] = ()
    #: Earlier exchanges of the dialogue, whoever answered them.
    exchanges_before: int = 0

    @property
    def as_exchange(self) -> str:
        """The user's text when this question stands in a later one's history."""
        return question_text(_EXCHANGE, self.question)


@dataclass(frozen=True)
class PlannedInstruction:
    """A standing instruction, polled from `question.t_ns` on."""

    question: Question
    #: No tick is at or after it; `None` for the end of the video.
    stop_ns: int | None


@dataclass(frozen=True)
class SessionPlan:
    """One playing of one video from its start, with everything that is asked on the way."""

    id: str
    video: Path
    #: The source is live, is named by the configuration and comes only once; `video` is a label.
    live: bool
    #: Ordered by time, then by place in the dialogue.
    queries: tuple[PlannedQuery, ...]
    instructions: tuple[PlannedInstruction, ...]
    #: Expected work, counted in frames: a question or a tick costs about as much as a frame. Orders
    #: sessions and weighs progress, nothing else.
    work: float

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of all items, questions first."""
        asked = [query.question.query for query in self.queries]
        return (*asked, *(instruction.question.query for instruction in self.instructions))

    @property
    def end_ns(self) -> int | None:
        """The last moment that matters; `None` if that is the end of the video."""
        stops = [instruction.stop_ns for instruction in self.instructions]
        if None in stops:
            return None
        ends = [stop - 1 for stop in stops if stop is not None]
        return max([*ends, *(query.question.t_ns for query in self.queries)], default=0)


@dataclass(frozen=True)
class Skipped:
    """An item that no session asks."""

    id: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """All sessions of a run, longest first."""

    sessions: tuple[SessionPlan, ...]
    skipped: tuple[Skipped, ...]

    @property
    def queries(self) -> int:
        """Items that are asked."""
        return sum(len(session.items) for session in self.sessions)


def make_plan(config: RunConfig, items: Sequence[Item], protocol: Protocol) -> Plan:
    """Group items into sessions, asked as `protocol` says; videos are paths below `data_dir`."""
    skipped = [each for each in map(_obstacle, items) if each]
    left_out = {each.id for each in skipped}
    grouped: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        if item.id not in left_out:
            grouped[_session_of(item, config)].append(item)
    sessions = [_session(name, group, config, protocol) for name, group in grouped.items()]
    sessions.sort(key=lambda session: (-session.work, session.id))
    return Plan(tuple(sessions), tuple(skipped))


def plays_live(config: RunConfig) -> bool:
    """Whether the stream runs by itself: what it shows comes only once."""
    return config.stream.source is not None and config.stream.clock == "realtime"


def _obstacle(item: Item) -> Skipped | None:
    missing = sorted(set(item.needs) - SUPPORTED_NEEDS)
    return Skipped(item.id, f"needs {', '.join(missing)}") if missing else None


def _session_of(item: Item, config: RunConfig) -> str:
    if config.stream.source is not None:
        return source_name(config.stream.source)
    if config.stream.mode == "stream":
        return item.video
    return f"{item.video}#{item.chain.id if item.chain else item.id}"


def _session(
    name: str, items: Sequence[Item], config: RunConfig, protocol: Protocol
) -> SessionPlan:
    asked = sorted(
        (item for item in items if item.triggers_s is None),
        key=lambda item: (item.ask_time_s, item.chain.index if item.chain else 0, item.id),
    )
    standing = sorted(
        (item for item in items if item.triggers_s is not None),
        key=lambda item: (item.ask_time_s, item.id),
    )
    source = config.stream.source
    plan = SessionPlan(
        id=name,
        video=Path(config.dataset.data_dir) / items[0].video if source is None else Path(source),
        live=plays_live(config),
        queries=tuple(_queries(asked, protocol)),
        instructions=tuple(_instruction(item, protocol) for item in standing),
        work=0.0,
    )
    return replace(plan, work=_work(plan, config))


def _queries(items: Iterable[Item], protocol: Protocol) -> Iterator[PlannedQuery]:
    chains: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        question = question_of(item, protocol)
        history = _history(item, protocol)
        if item.chain is None or history == "none":
            yield PlannedQuery(question)
            continue
        before = chains[item.chain.id]
        if history == "reference":
            yield PlannedQuery(question, exchanges_before=len(item.chain.reference))
        else:
            yield PlannedQuery(question, tuple(before), len(before))
        before.append(item.id)


def _history(item: Item, protocol: Protocol) -> History:
    """Whose answers stand in the history: the protocol decides, or leaves it to the item."""
    if protocol.history != "item":
        return protocol.history
    return "none" if item.chain is None else item.chain.history


def _instruction(item: Item, protocol: Protocol) -> PlannedInstruction:
    # The poll at `end_s` is the last one, and ticks are before the stop.
    stop_ns = None if item.end_s is None else seconds_to_ns(item.end_s) + 1
    return PlannedInstruction(question_of(item, protocol), stop_ns)


def question_of(item: Item, protocol: Protocol) -> Question:
    """What the systems get to see of an item."""
    history: list[Message] = []
    if item.chain is not None and _history(item, protocol) == "reference":
        for told in item.chain.reference:
            history += [Message("user", told.question), Message("assistant", told.answer)]
    return Question(
        query=item.id,
        t_ns=seconds_to_ns(item.ask_time_s),
        text=item.question,
        options=item.options or (),
        space=() if item.options or item.triggers_s is not None else item.space,
        history=tuple(history),
        prompt=protocol.prompts.get(item.task),
    )


def _work(plan: SessionPlan, config: RunConfig) -> float:
    last = [query.question.t_ns for query in plan.queries]
    last += [instruction.stop_ns or instruction.question.t_ns for instruction in plan.instructions]
    frames = max(last, default=0) / 1e9 * float(config.video.fps)
    tick_ns = float(exact(config.system.proactive.tick_s)) * 1e9
    polls = sum(
        max(0, (instruction.stop_ns or max(last)) - instruction.question.t_ns) / tick_ns
        for instruction in plan.instructions
    )
    return frames + len(plan.queries) + polls
