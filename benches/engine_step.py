"""The same questions with and without `model.compile`: the third part of benches/engine.py."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dsb.config.schema import CacheConfig, ModelConfig
from dsb.models.backend import Reply
from dsb.models.local.backend import LocalBackend
from dsb.models.local.checkpoint.load import Checkpoint
from dsb.models.local.engine.step import CompiledStep
from engine_subjects import Engine, Player
from rows import Row

QUESTION, POLL = "What is it? A B C D", "Is it time to speak?"
#: Tokens of an answer whose decoding is timed.
_WRITTEN = 17


@dataclass
class Asked:
    """One round of questions to one engine."""

    times: dict[str, list[float]] = field(
        default_factory=lambda: {"poll ms": [], "decode ms/token": []}
    )
    replies: list[Reply] = field(default_factory=list)

    def ask(self, engine: Engine) -> None:
        """One poll and one answer."""
        poll, written = engine.poll(POLL), engine.ask(QUESTION, _WRITTEN)
        self.times["poll ms"].append(poll.timing.service_ns / 1e6)
        # The first token comes with the question.
        per_token = written.timing.decode_ns / 1e6 / max(written.usage.output_tokens - 1, 1)
        self.times["decode ms/token"].append(per_token)
        self.replies += [poll, written]


def measure(
    checkpoint: Checkpoint,
    config: ModelConfig,
    side: int,
    levels: Sequence[int],
    rounds: int,
    asks: int,
) -> list[Row]:
    """Polls and decoding behind contexts of `levels` temporal patches, asked in turns."""
    family = checkpoint.family
    # Random weights may end an answer at once.
    family.stop_ids = frozenset()
    frames = levels[-1] * family.span + family.span
    player = Player(side, frames)
    engines: dict[str, Engine] = {}
    rows: list[Row] = []
    cache = CacheConfig(reuse="kv", arena_bytes=1 << 40, visual_bytes=1 << 40)
    for name, compiled in (("eager", False), ("compiled", True)):
        step = CompiledStep(family) if compiled else None
        backend = LocalBackend(config, cache, replace(checkpoint, step=step))
        engines[name] = Engine(backend, player, frames, name)
        if step is not None:
            rows.append(Row.of("load", name, "compilation s", [step.seconds]))
    for patches in levels:
        for engine in engines.values():
            engine.read(patches * family.span)
        case = f"{patches * family.grid((side, side)).tokens} visual tokens"
        rows += _rows(case, engines, rounds, asks)
    return rows


def _rows(case: str, engines: dict[str, Engine], rounds: int, asks: int) -> list[Row]:
    found = [_round(engines, asks) for _ in range(rounds + 1)]
    rows = []
    for metric in ("poll ms", "decode ms/token"):
        # The first round warms every shape.
        medians = [
            {name: statistics.median(asked.times[metric]) for name, asked in each.items()}
            for each in found[1:]
        ]
        rows += [Row.of(case, name, metric, [each[name] for each in medians]) for name in engines]
        ratios = [each["eager"] / each["compiled"] for each in medians]
        rows.append(Row.of(case, "eager / compiled", metric.split()[0] + " ratio", ratios))
    both = [
        pair
        for each in found
        for pair in zip(each["eager"].replies, each["compiled"].replies, strict=True)
    ]
    same = [float(one.text == other.text) for one, other in both]
    rows.append(Row.of(case, "eager = compiled", "same answers", [min(same)]))
    largest = max(_difference(*pair) for pair in both)
    name = "largest log-probability difference"
    return [*rows, Row.of(case, "eager = compiled", name, [largest])]


def _round(engines: dict[str, Engine], asks: int) -> dict[str, Asked]:
    found = {name: Asked() for name in engines}
    for _ in range(asks):
        for name, engine in engines.items():
            found[name].ask(engine)
    return found


def _difference(one: Reply, other: Reply) -> float:
    """Of two log-probabilities of the same reply."""
    ours, theirs = (each.candidate_logprobs or each.token_logprobs or () for each in (one, other))
    return max((abs(a - b) for a, b in zip(ours, theirs, strict=False)), default=0.0)
