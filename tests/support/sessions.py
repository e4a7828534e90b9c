"""Real sessions for tests: small videos with painted frame numbers, a small random model, a spy between.

The spy stands where the systems meet the model and writes down what the model was given. It also
fails on demand, which a healthy model does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import videos
from dsb._core import Window
from dsb.benchmarks.build import find_protocol
from dsb.benchmarks.item import Answer, Chain, Item
from dsb.config.schema import ModelConfig, RunConfig
from dsb.evaluation.plan import make_plan
from dsb.evaluation.session.session import SessionOutcome, play_session
from dsb.evaluation.session.setup import RunSetup
from dsb.models.backend import (
    Backend,
    Conversation,
    Counters,
    Receipt,
    Reply,
    Request,
    StreamSpec,
    Turn,
)
from dsb.models.build import open_backend
from dsb.routing.build import build_routers
from dsb.runlog.log import LogWriter, read_segment
from dsb.runlog.records import Answered, Record
from dsb.stream.view import StreamView


@dataclass(frozen=True)
class Given:
    """What a model could read when it was asked."""

    system: str
    query: str
    t_ns: int
    #: Painted numbers of the frames that it had been handed, and of those it could look up.
    observed: tuple[int, ...]
    window: tuple[int, ...]
    #: Text of the messages.
    messages: tuple[str, ...] = ()


@dataclass
class Spy:
    """A backend that passes everything on to a real one."""

    inner: Backend
    given: list[Given] = field(default_factory=list)
    #: (system, query) -> errors to raise, one per call, before calls go through again.
    failures: defaultdict[tuple[str, str], list[BaseException]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def frame_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        return self.inner.frame_size(source_size)

    def takes(self, size: tuple[int, int]) -> bool:
        return self.inner.takes(size)

    def counters(self, session: str) -> Counters:
        return self.inner.counters(session)

    def open(self, spec: StreamSpec) -> Conversation:
        return _SpyConversation(self, self.inner.open(spec), spec)


class _SpyConversation:
    def __init__(self, spy: Spy, inner: Conversation, spec: StreamSpec) -> None:
        self.abilities = inner.abilities
        self._spy, self._inner, self._spec = spy, inner, spec
        self._observed: list[int] = []

    def observe(self, window: Window) -> Receipt:
        self._observed += _numbers(window)
        return self._inner.observe(window)

    def ask(self, request: Request) -> Reply:
        self._note(request.query, request.t_ns, request.view, request)
        return self._inner.ask(request)

    def ask_many(self, requests: Sequence[Request]) -> list[Reply]:
        return [self.ask(request) for request in requests]

    def watch(self, request: Request) -> None:
        self._inner.watch(request)

    def turn(self, tick_ns: int, view: StreamView, queries: Sequence[str]) -> list[Turn]:
        for query in queries:
            self._note(query, tick_ns, view)
        return self._inner.turn(tick_ns, view, queries)

    def close(self) -> None:
        self._inner.close()

    def _note(
        self, query: str, t_ns: int, view: StreamView, request: Request | None = None
    ) -> None:
        seen: list[int] = []
        if self._spec.window is not None and self.abilities.needs_window and view.visible:
            with view.at(self._spec.window) as window:
                seen = _numbers(window)
        texts = tuple(message.text for message in request.messages) if request else ()
        system = self._spec.system
        self._spy.given.append(
            Given(system, query, t_ns, tuple(self._observed), tuple(seen), texts)
        )
        if self._spy.failures[system, query]:
            raise self._spy.failures[system, query].pop(0)


def _numbers(window: Window) -> list[int]:
    return [videos.read_number(frame) for frame in np.array(window)]


def make_config(data_dir: Path, **sections: Any) -> RunConfig:
    """A small run: two frames for S1, sixteen for S2, answers by likelihood."""
    system = {
        "s1": {"window": {"max_frames": 2}, "answering": "likelihood"},
        "s2": {"window": {"max_frames": 16}, "answering": "likelihood"},
        **sections.pop("system", {}),
    }
    values = {
        "dataset": {"data_dir": str(data_dir)},
        "video": {"fps": 2},
        "system": system,
        **sections,
    }
    return RunConfig.model_validate(values)


def load_model(folder: Path, config: RunConfig) -> Spy:
    """The checkpoint in `folder` behind a spy."""
    model = ModelConfig(path=str(folder), device="cpu", threads=1)
    return Spy(open_backend(model, config.system.streaming_embed_cache))


def question(name: str, ask_time_s: float, video: str, **more: Any) -> Item:
    values: dict[str, Any] = {
        "task": "realtime",
        "question": f"What color is the star now, {name}?",
        "options": ("red", "blue", "green"),
        "answer": Answer(option=0, text="red"),
    }
    return _item(name, ask_time_s, video, **{**values, **more})


def turn(name: str, index: int, ask_time_s: float, video: str, **chain: Any) -> Item:
    values = {"id": "dialogue", "index": index, "history": "model", **chain}
    return question(name, ask_time_s, video, task="sequential", chain=Chain(**values))


def instruction(name: str, ask_time_s: float, end_s: float | None, video: str) -> Item:
    return _item(
        name,
        ask_time_s,
        video,
        task="proactive",
        question=f"Is it time to speak, {name}?",
        triggers_s=(),
        meta={} if end_s is None else {"end_s": end_s},
    )


def _item(name: str, ask_time_s: float, video: str, **more: Any) -> Item:
    return Item(id=name, source="test", category="test", video=video, ask_time_s=ask_time_s, **more)


@dataclass(frozen=True)
class Played:
    """What became of the sessions of a plan."""

    outcomes: list[SessionOutcome]
    records: list[Record]

    def of(self, kind: type[Any]) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]


def play(config: RunConfig, items: Sequence[Item], backend: Spy, run_dir: Path) -> Played:
    """Play all sessions of `items` with one model for both systems."""
    _, protocol = find_protocol("items", "default")
    setup = RunSetup(config, {"s1": backend, "s2": backend}, build_routers(config.system.scheduler))
    with LogWriter(run_dir) as log:
        outcomes = [
            play_session(plan, setup, log) for plan in make_plan(config, items, protocol).sessions
        ]
    return Played(outcomes, list(read_segment(log.path)))


def answers(played: Played) -> dict[tuple[str, str], tuple[str, float | None]]:
    """(query, system) -> text and confidence."""
    return {(a.query, a.system): (a.text, a.confidence) for a in played.of(Answered)}


def some_questions(count: int = 6) -> list[Item]:
    """Questions at times that fall between the frames of `videos.constant`."""
    return [question(f"q{k}", 0.35 + 0.7 * k, "constant.mp4") for k in range(count)]


def on_screen(video: videos.Video, fps: Fraction, t_ns: int) -> int | None:
    """Painted number of the newest sampled frame at `t_ns`, the slow way; sampling ends with the video."""
    until = min(Fraction(t_ns, 10**9), video.pts[-1])
    ticks = [Fraction(k) / fps for k in range(int(until * fps) + 1)]
    return video.on_screen(ticks[-1])
