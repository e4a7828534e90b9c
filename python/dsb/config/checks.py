"""Combinations of values that are each fine and together make no run."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

from dsb.config.address import STDIN, is_live
from dsb.config.kept import kept_windows
from dsb.config.schema import RunConfig
from dsb.config.source import KeyPath

_PLACEHOLDERS = {"question", "options", "memory"}


def contradictions(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    """Yield the key to change and why, with the remedy, for values that do not fit together."""
    yield from _routers(config)
    yield from _systems(config)
    yield from _threads(config)
    yield from _source(config)
    yield from kept_windows(config)
    if config.dataset.synth is not None and config.dataset.items_dir is not None:
        yield (
            ("dataset", "items_dir"),
            (
                "the streams of dataset.synth are made below data_dir together with their items; "
                "remove it, or set dataset.synth to null"
            ),
        )
    shard = config.dataset.shard
    if shard is not None and (match := re.fullmatch(r"(\d+)/(\d+)", shard)):
        index, count = int(match[1]), int(match[2])
        if not 1 <= index <= count:
            yield ("dataset", "shard"), f"there is no shard {index} of {count}; count from 1"


def _source(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    stream = config.stream
    source = stream.source
    if source is None:
        if stream.listen:
            yield (
                ("stream", "listen"),
                "there is nobody to wait for; set stream.source, or this to false",
            )
        return
    if stream.mode == "offline":
        yield (
            ("stream", "mode"),
            (
                "stream.source is played once, for all items; "
                "set it to stream, or remove stream.source to play the items' videos"
            ),
        )
    if is_live(source) and stream.clock != "realtime":
        yield (
            ("stream", "clock"),
            "a live source runs with the wall clock; set it to realtime, or stream.source to a file",
        )
    if stream.listen and not source.lower().startswith("rtsp://"):
        yield ("stream", "listen"), "only rtsp:// sources connect to us; set it to false"
    if (source == STDIN or stream.listen) and config.video.width is None:
        yield (
            ("video", "width"),
            (
                "this source cannot be looked at before it is played; "
                "set video.width and video.height to the size that the model wants"
            ),
        )


def _routers(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    scheduler = config.system.scheduler
    if scheduler.compare and config.system.collect != "both":
        yield (
            ("system", "scheduler", "compare"),
            (
                "routers can only be compared where both systems answer; "
                "set system.collect to both, or remove the list"
            ),
        )
    seen = {scheduler.router.called}
    for index, router in enumerate(scheduler.compare):
        if router.called in seen:
            yield (
                ("system", "scheduler", "compare", index, "label"),
                f"two routers are called {router.called}; give one of them a label of its own",
            )
        seen.add(router.called)


def _threads(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    threads = {name: model.threads for name, model in config.models.items() if model.threads}
    if len(set(threads.values())) > 1:
        given = " and ".join(f"{count} for {name}" for name, count in threads.items())
        yield (
            ("model", "threads"),
            (
                f"it is {given}, but the threads of a process are the same for all its models; give "
                "all of them the same number, or leave the others out"
            ),
        )


def _systems(config: RunConfig) -> Iterator[tuple[KeyPath, str]]:
    for name in ("s1", "s2"):
        system = getattr(config.system, name)
        prompt_key: KeyPath = ("system", name, "prompt")
        try:
            names = {part for _, part, _, _ in string.Formatter().parse(system.prompt)} - {None}
        except ValueError as error:
            yield prompt_key, f"{error}; write {{{{ and }}}} for plain braces"
            continue
        for unknown in sorted(str(name) for name in names - _PLACEHOLDERS):
            yield (
                prompt_key,
                f"{{{unknown}}} is not filled in; use {{question}}, {{options}}, {{memory}}",
            )
        if "question" not in names:
            yield prompt_key, "the prompt never shows the question; put {question} into it"
        yield from _retrieval(config, name, "memory" in names)


def _retrieval(
    config: RunConfig, name: str, prompt_shows_it: bool
) -> Iterator[tuple[KeyPath, str]]:
    found: int = getattr(config.system, name).retrieve
    if found and not config.memory.long_term:
        yield (
            ("system", name, "retrieve"),
            (
                "there is nothing to retrieve without long-term memory; "
                "set memory.long_term to true, or this to 0"
            ),
        )
    elif found and name == "s1":
        yield ("system", name, "retrieve"), "only S2 looks into memory; set it to 0"
    elif found and not prompt_shows_it:
        yield (
            ("system", name, "prompt"),
            (
                f"system.{name}.retrieve is {found}, but the prompt never shows what was found; "
                "put {memory} into it"
            ),
        )
