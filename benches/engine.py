"""The local engine against three ways to ask the same model through transformers alone.

    python benches/engine.py [--device cpu|cuda] [--shape tiny|qwen2.5-vl-7b|...] [--path CHECKPOINT]
                             [--tokens 1000,4000,...] [--rounds N] [--json rows.json] [--figure engine.svg]
    python benches/engine.py --poll [--minutes N] [--windows 300,32] [--reuse none,embed,kv] ...
    python benches/engine.py --compile ...

A pattern plays at 1 frame per second and 448 x 448 pixels (the embedded model: 56 x 56). When the context holds as
many visual tokens as asked for, a question is put to

* *dsb*: the engine with `reuse: kv`, which has read every frame once;
* *scratch*: `generate` with all frames as pixels;
* *embedded*: `generate` with embeddings that were computed before (`mm_encoder_outputs`);
* *cropped*: a plain `DynamicCache` that holds everything before the question, which is cropped off again.

Time to the first token is wall time from the question on; rounds are interleaved, ratios are of the same round. The
first token of all four is compared; in half precision near ties may fall either way. Without a checkpoint the weights
are random numbers of the true shape: they compute as much and say nothing.

`--poll` plays a stream that is polled after every frame, under `reuse: none`, `embed` and `kv`.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import engine_poll
import engine_step
from dsb.config.schema import CacheConfig, ModelConfig
from dsb.models.local.backend import LocalBackend
from dsb.models.local.checkpoint.load import Checkpoint
from dsb.models.local.engine.arena import Arena
from dsb.models.local.vision.patch_store import record_bytes
from engine_models import EMBEDDED, SHAPES, load
from engine_subjects import Engine, Player, Stock
from rows import Row, print_rows, write_rows

QUESTION = "What is it? A B C D"
POLL = "Is it time to speak?"
#: Tokens of an answer whose decoding is timed.
_WRITTEN = 17
_GB = 1e9


def levels_of(text: str, tokens: int) -> list[int]:
    """Temporal patches for "1000,4000" visual tokens, ascending."""
    return sorted({max(1, round(int(part) / tokens)) for part in text.split(",")})


def context_rows(
    checkpoint: Checkpoint,
    config: ModelConfig,
    side: int,
    levels: list[int],
    rounds: int,
    asks: int,
) -> list[Row]:
    """Ingest, time to the first token, poll and decode at every level."""
    family = checkpoint.family
    tokens = family.grid((side, side)).tokens
    frames = levels[-1] * family.span
    # Random weights may end an answer at once.
    family.stop_ids = frozenset()
    cache = CacheConfig(reuse="kv", arena_bytes=1 << 40, visual_bytes=1 << 40)
    backend = LocalBackend(config, cache, checkpoint)
    player = Player(side, frames + family.span)
    engine, stock = (
        Engine(backend, player, frames + family.span, "measured"),
        Stock(checkpoint, player, QUESTION),
    )
    _warm(backend, player)
    rows = _bytes_rows(checkpoint, side)
    for patches in levels:
        case = f"{patches * tokens} visual tokens"
        seconds, read = engine.read(patches * family.span)
        rows.append(Row.of(case, "dsb", "ingest frames/s", [read / seconds]))
        rows += _asked(case, engine, stock, patches, rounds, asks)
        rows += _memory_rows(case, engine)
    return rows


def _asked(
    case: str, engine: Engine, stock: Stock, patches: int, rounds: int, asks: int
) -> list[Row]:
    """The engine is asked `asks` times per round, the others once."""
    ttft: dict[str, list[float]] = {}
    extra: dict[str, list[float]] = {}
    late, polls, written, same = [], [], [], []
    baselines = {"scratch": stock.scratch, "embedded": stock.embedded, "cropped": stock.cropped}
    for number in range(rounds + 1):
        many = [engine.metered(QUESTION) for _ in range(asks)]
        first = [each.seconds for each in many]
        found = {"dsb": replace(many[0], seconds=statistics.median(first))}
        poll = statistics.median(engine.poll(POLL).timing.service_ns for _ in range(asks)) / 1e6
        longer = engine.ask(QUESTION, _WRITTEN)
        for name, ask in baselines.items():
            spent = ask(patches)
            found[name] = replace(spent, result=stock.text(spent.result))
        # The first round warms every shape.
        if number == 0:
            continue
        for name, spent in found.items():
            ttft.setdefault(name, []).append(spent.seconds * 1e3)
            if spent.extra_bytes is not None:
                extra.setdefault(name, []).append(spent.extra_bytes / _GB)
        late.append(float(np.quantile(first, 0.95)) * 1e3)
        polls.append(poll)
        written.append(longer.timing.decode_ns / 1e6 / max(longer.usage.output_tokens - 1, 1))
        same.append(float(len({spent.result for spent in found.values()}) == 1))
    rows = [Row.of(case, name, "TTFT p50 ms", values) for name, values in ttft.items()]
    rows.append(Row.of(case, "dsb", "TTFT p95 ms", late))
    for name in baselines:
        ratios = [slow / fast for slow, fast in zip(ttft[name], ttft["dsb"], strict=True)]
        rows.append(Row.of(case, f"{name} / dsb", "TTFT ratio", ratios))
    rows += [
        Row.of(case, name, "extra GB for a question", values) for name, values in extra.items()
    ]
    rows.append(Row.of(case, "dsb", "poll ms", polls))
    rows.append(Row.of(case, "dsb", "decode ms/token", written))
    rows.append(Row.of(case, "all", "same first token", same))
    return rows


def _warm(backend: LocalBackend, player: Player) -> None:
    span = backend.family.span
    engine = Engine(backend, player, 2 * span, "warm")
    engine.read(2 * span)
    engine.ask(QUESTION, 2)
    engine.conversation.close()


def _bytes_rows(checkpoint: Checkpoint, side: int) -> list[Row]:
    family = checkpoint.family
    tokens = family.grid((side, side)).tokens
    slot = Arena(family.model, 1 << 40, family.dtype).slot_bytes
    figures = {
        "KV bytes/frame": slot * tokens / family.span,
        "embedding bytes/frame": record_bytes(family, tokens) / family.span,
    }
    return [Row.of("sizes", "dsb", name, [value]) for name, value in figures.items()]


def _memory_rows(case: str, engine: Engine) -> list[Row]:
    """What everything together holds on the device; on CPU the most that the process has had so far."""
    held = engine.meter.held_bytes
    if held is not None:
        return [Row.of(case, "all", "held GPU GB", [held / _GB])]
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return [Row.of(case, "all", "peak process GB", [peak / _GB])]


def draw(rows: list[Row], path: Path, title: str) -> None:
    """Time to the first token against the length of the context."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("scratch", "embedded", "cropped", "dsb"):
        points = [row for row in rows if row.subject == name and row.metric == "TTFT p50 ms"]
        lengths = [int(row.case.split()[0]) for row in points]
        axes.plot(lengths, [row.median for row in points], "o-", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("visual tokens in the context")
    axes.set_ylabel("time to first token (ms)")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False)
    with mpl.rc_context({"svg.hashsalt": "dsb", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


def arguments_of() -> argparse.Namespace:
    """The command line, with what suits the device and the shape where nothing is said."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", choices=[EMBEDDED, *SHAPES], default=EMBEDDED)
    parser.add_argument("--path", type=Path, help="a checkpoint of Qwen2-VL or Qwen2.5-VL")
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--tokens", help="visual tokens in the context, with commas")
    parser.add_argument("--side", type=int, help="width and height of frames in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--asks", type=int, default=20, help="of the engine per round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--poll", action="store_true", help="poll a stream instead")
    parser.add_argument("--compile", action="store_true", help="compare model.compile instead")
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--windows", default="300,32", help="frames of the window, with commas")
    parser.add_argument("--reuse", default="none,embed,kv", help="for --poll, with commas")
    parser.add_argument("--quick", action="store_true", help="a size that says nothing about speed")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--figure", type=Path, help="draw the times to the first token here")
    found = parser.parse_args()
    cuda = found.device.startswith("cuda")
    found.tokens = found.tokens or ("1000,4000,16000,38000,100000" if cuda else "1000,4000")
    found.side = found.side or (56 if found.shape in (EMBEDDED, "nano") and not found.path else 448)
    if found.quick:
        found.asks = 2
        found.tokens, found.rounds, found.minutes, found.windows = "4,16", 1, 1, "8,4"
    return found


def main() -> None:
    """Measure, print, write, draw."""
    arguments = arguments_of()
    config = ModelConfig(device=arguments.device, dtype=arguments.dtype, threads=arguments.threads)
    checkpoint = load(arguments.shape, arguments.path, config, arguments.seed)
    if arguments.poll:
        rows = engine_poll.measure(
            checkpoint,
            config,
            arguments.side,
            minutes=arguments.minutes,
            windows=[int(part) for part in arguments.windows.split(",")],
            rounds=arguments.rounds,
            reuse=arguments.reuse.split(","),
            polls_per_minute=8 if arguments.quick else 60,
        )
    else:
        tokens = checkpoint.family.grid((arguments.side, arguments.side)).tokens
        levels = levels_of(arguments.tokens, tokens)
        measure = engine_step.measure if arguments.compile else context_rows
        rows = measure(checkpoint, config, arguments.side, levels, arguments.rounds, arguments.asks)
    print_rows(rows)
    if arguments.json:
        write_rows(arguments.json, rows)
    if arguments.figure:
        model = arguments.path.name if arguments.path else arguments.shape
        draw(rows, arguments.figure, f"{model}, {checkpoint.family.dtype}, {arguments.device}")


if __name__ == "__main__":
    main()
