"""A stream that is polled every second, under each setting of `reuse`: the second part of benches/engine.py."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from dsb.benchmarks.item import YES_NO
from dsb.config.schema import CacheConfig, ModelConfig
from dsb.models.local.backend import LocalBackend
from dsb.models.local.checkpoint.load import Checkpoint
from engine_subjects import Meter, Player
from rows import Row

REUSE = ("none", "embed", "kv")


@dataclass
class Polled:
    """One stream under one setting."""

    seconds: list[float] = field(default_factory=list)
    """Wall time of each poll and of taking in the frame before it."""
    logprobs: list[tuple[float, ...]] = field(default_factory=list)
    """What each poll answered."""
    held_bytes: list[int] = field(default_factory=list)
    """Device memory that is allocated after each poll; empty on CPU."""


def polled(
    checkpoint: Checkpoint, config: ModelConfig, reuse: str, player: Player, polls: int, window: int
) -> Polled:
    """Frame, poll, frame, poll, ..."""
    backend = LocalBackend(config, CacheConfig.model_validate({"reuse": reuse}), checkpoint)
    conversation = backend.open(player.spec(reuse, window))
    meter = Meter(checkpoint.family.device)
    found = Polled()
    for frame in range(polls):

        def step(frame: int = frame) -> tuple[float, ...] | None:
            player.show(conversation, frame, frame + 1)
            request = player.request(frame, "Is it time to speak?", YES_NO)
            return conversation.ask(request).candidate_logprobs

        spent = meter(step)
        found.seconds.append(spent.seconds)
        found.logprobs.append(spent.result or ())
        if meter.held_bytes is not None:
            found.held_bytes.append(meter.held_bytes)
    conversation.close()
    return found


def largest_difference(ours: Polled, theirs: Polled) -> float:
    """Of two log-probabilities of the same poll."""
    pairs = zip(ours.logprobs, theirs.logprobs, strict=True)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))


def measure(
    checkpoint: Checkpoint,
    config: ModelConfig,
    side: int,
    *,
    minutes: int,
    windows: Sequence[int],
    rounds: int,
    reuse: Sequence[str] = REUSE,
    polls_per_minute: int = 60,
) -> list[Row]:
    """Every window under every setting of `reuse`, rounds interleaved."""
    polls = minutes * polls_per_minute
    player = Player(side, polls)
    rows: list[Row] = []
    # Libraries are loaded and memory is warm.
    for each in reuse:
        polled(checkpoint, config, each, player, min(polls, 8), 4)
    for window in windows:
        runs: dict[str, list[Polled]] = {each: [] for each in reuse}
        for _ in range(rounds):
            for each in reuse:
                runs[each].append(polled(checkpoint, config, each, player, polls, window))
        rows += _rows(f"{polls} polls, window of {window}", runs, polls_per_minute, window < polls)
    return rows


def _rows(case: str, runs: dict[str, list[Polled]], per_minute: int, slides: bool) -> list[Row]:
    rows = []
    for reuse, found in runs.items():
        rows.append(Row.of(case, reuse, "model s", [sum(each.seconds) for each in found]))
        for name, part in (
            ("first minute", slice(per_minute)),
            ("last minute", slice(-per_minute, None)),
        ):
            values = [statistics.median(each.seconds[part]) * 1e3 for each in found]
            rows.append(Row.of(case, reuse, f"poll ms, {name}", values))
        values = [
            statistics.median(each.seconds[-per_minute:])
            / statistics.median(each.seconds[:per_minute])
            for each in found
        ]
        rows.append(Row.of(case, reuse, "poll, last / first minute", values))
        if found[0].held_bytes:
            grown = [
                max(each.held_bytes[-per_minute:]) / max(each.held_bytes[:per_minute])
                for each in found
            ]
            rows.append(Row.of(case, reuse, "held memory, last / first minute", grown))
    baselines = {reuse: found for reuse, found in runs.items() if reuse != "kv" and "kv" in runs}
    for reuse, found in baselines.items():
        pairs = list(zip(found, runs["kv"], strict=True))
        ratios = [sum(slow.seconds) / sum(fast.seconds) for slow, fast in pairs]
        rows.append(Row.of(case, f"{reuse} / kv", "model s ratio", ratios))
        # A window that slides is another attention pattern under `kv`.
        if not slides:
            largest = [largest_difference(*pair) for pair in pairs]
            rows.append(
                Row.of(case, f"{reuse} = kv", "largest log-probability difference", largest)
            )
    return rows
