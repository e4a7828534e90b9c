"""Builds run logs by hand, so that a test knows every number in them."""

from __future__ import annotations

from typing import Any

from dsb.analysis.run_data import RunData, tabulate
from dsb.benchmarks.item import Answer, Item
from dsb.runlog.records import Answered, Call, Record, Route, SessionStart, Turns

NS = 1_000_000_000


def question(number: int, answer: str = "red", **changes: Any) -> Item:
    fields: dict[str, Any] = {
        "id": f"q{number}",
        "task": "clue",
        "source": "test",
        "category": "clue.color",
        "video": f"v{number % 3}.mp4",
        "ask_time_s": 20.0,
        "question": "What color was it?",
        "answer": Answer(text=answer),
        "meta": {"space": ["red", "blue"]},
    }
    return Item(**{**fields, **changes})


def instruction(triggers: tuple[float, ...], end_s: float = 20.0) -> Item:
    return Item(
        id="p0",
        task="proactive",
        source="test",
        category="proactive.see",
        video="v0.mp4",
        ask_time_s=8.0,
        question="Tell me when.",
        triggers_s=triggers,
        meta={"end_s": end_s, "once": False},
    )


class Log:
    """Builds the records of one session."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.records: list[Record] = []
        self.add(
            SessionStart,
            attempt=1,
            video="v.mp4",
            items=[item.id for item in items],
            fps="1",
            width=56,
            height=56,
            systems={"s1": {}, "s2": {}},
        )

    def add(self, kind: type[Any], **fields: Any) -> None:
        self.records.append(
            kind(session="s", seq=len(self.records), t_stream_ns=0, t_wall_ns=0, **fields)
        )

    def answer(self, query: str, system: str, text: str, ms: int = 1, **fields: Any) -> None:
        self.add(
            Answered,
            query=query,
            system=system,
            text=text,
            service_ns=ms * 1_000_000,
            **{"confidence": 0.5, **fields},
        )

    def call(self, query: str, system: str, frames: tuple[int, int], tokens: int = 10) -> None:
        self.add(
            Call,
            query=query,
            system=system,
            purpose="answer",
            input_hash="0",
            frames=frames,
            visible_until_ns=None,
            service_ns=1,
            ttft_ns=1,
            encode_ns=0,
            prefill_ns=0,
            decode_ns=0,
            input_tokens=tokens,
            visual_tokens=0,
            cached_tokens=0,
            output_tokens=1,
            finish="stop",
            text="",
        )

    def route(self, query: str, actions: list[str], stage: str = "after_s1", **fields: Any) -> None:
        self.add(
            Route,
            query=query,
            router="r",
            stage=stage,
            scores=[0.0] * len(actions),
            actions=actions,
            threshold=0.5,
            features_hash="0",
            service_ns=1_000_000,
            **fields,
        )

    def turns(self, system: str, scores: list[float | None], ms: int = 1) -> None:
        ticks = [(8 + n) * NS for n in range(len(scores))]
        self.add(
            Turns,
            query="p0",
            system=system,
            ticks_ns=ticks,
            states=["unknown" if score is None else "processed" for score in scores],
            actions=["silent"] * len(scores),
            scores=scores,
            service_ns=[ms * 1_000_000] * len(scores),
            visual_tokens=[0] * len(scores),
            input_tokens=[0] * len(scores),
        )

    @property
    def data(self) -> RunData:
        return tabulate(self.items, self.records)
