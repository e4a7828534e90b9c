"""Builds run logs by hand, so that a test knows every number in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dsb.benchmarks.item import Answer, Item, dump_items
from dsb.config.schema import RunConfig
from dsb.runlog.folder import CONFIG, GOLD, MANIFEST
from dsb.runlog.log import LogWriter
from dsb.runlog.records import (
    Answered,
    Call,
    Failure,
    Frames,
    Record,
    Route,
    SessionEnd,
    SessionStart,
    Turns,
)
from dsb.runlog.run_data import RunData, tabulate

NS = 1_000_000_000

#: What a session counts unless a test says otherwise.
END = {
    "queries_done": 4,
    "queries_failed": 0,
    "frames_decoded": 21,
    "frames_encoded": 21,
    "frames_provisional": 3,
    "model_calls": 9,
    "decode_errors": 0,
    "decode_wall_ns": 1,
    "decode_cpu_ns": 2_000_000_000,
    "model_ns": 3_000_000_000,
    "wall_ns": 4_000_000_000,
    "played_ns": 21_000_000_000,
}


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


def instruction(triggers: tuple[float, ...], end_s: float = 20.0, number: int = 0) -> Item:
    return Item(
        id=f"p{number}",
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
    """Builds the records of one attempt of one session."""

    def __init__(self, items: list[Item], session: str = "s", attempt: int = 1) -> None:
        self.items = items
        self.session = session
        self.records: list[Record] = []
        self.add(
            SessionStart,
            attempt=attempt,
            video="v.mp4",
            items=[item.id for item in items],
            fps="1",
            width=56,
            height=56,
            systems={"s1": {}, "s2": {}},
        )

    def add(self, kind: type[Any], **fields: Any) -> None:
        place = {"session": self.session, "seq": len(self.records)}
        self.records.append(kind(t_stream_ns=0, t_wall_ns=0, **place, **fields))

    def frames(self, pts_s: Sequence[float], start: int = 0) -> None:
        """Frames with ids from `start` on."""
        self.add(
            Frames,
            start=start,
            stop=start + len(pts_s),
            pts_ns=[int(pts * NS) for pts in pts_s],
            digests=["0"] * len(pts_s),
        )

    def fail(self, query: str, system: str, kind: str = "RateLimited") -> None:
        self.add(
            Failure,
            query=query,
            system=system,
            type=kind,
            message="no",
            traceback="",
            retryable=True,
        )

    def end(self, **changes: Any) -> None:
        self.add(SessionEnd, **{**END, **changes})

    def answer(self, query: str, system: str, text: str, ms: int = 1, **fields: Any) -> None:
        self.add(
            Answered,
            query=query,
            system=system,
            text=text,
            service_ns=ms * 1_000_000,
            **{"confidence": 0.5, **fields},
        )

    def call(
        self,
        query: str,
        system: str,
        frames: tuple[int, int] | None,
        tokens: int = 10,
        **fields: Any,
    ) -> None:
        values: dict[str, Any] = {
            "query": query,
            "system": system,
            "purpose": "answer",
            "input_hash": "0",
            "frames": frames,
            "visible_until_ns": None,
            "service_ns": 1,
            "ttft_ns": 1,
            "encode_ns": 0,
            "prefill_ns": 0,
            "decode_ns": 0,
            "input_tokens": tokens,
            "visual_tokens": 0,
            "cached_tokens": 0,
            "output_tokens": 1,
            "finish": "stop",
            "text": "",
        }
        self.add(Call, **{**values, **fields})

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

    def turns(
        self,
        system: str,
        scores: list[float | None],
        ms: int = 1,
        query: str = "p0",
        first_s: int = 8,
    ) -> None:
        ticks = [(first_s + n) * NS for n in range(len(scores))]
        self.add(
            Turns,
            query=query,
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


def write_run(folder: Path, items: Sequence[Item], *logs: Log) -> Path:
    """A run directory with one segment for each log."""
    folder.mkdir(parents=True, exist_ok=True)
    dump_items(items, folder / GOLD)
    config = {"config": RunConfig().model_dump(mode="json"), "origins": {}}
    (folder / CONFIG).write_text(yaml.safe_dump(config))
    sessions = len({log.session for log in logs})
    manifest = {"identity_short": "12345678", "sessions": sessions, "skipped": [], "models": {}}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    for log in logs:
        write_segment(folder, log)
    return folder


def write_segment(folder: Path, log: Log, worker: str = "w0") -> Path:
    """The next segment of a worker."""
    with LogWriter(folder, worker) as writer:
        for record in log.records:
            writer.append(record)
    return writer.path
