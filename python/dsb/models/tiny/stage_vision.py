"""Stage A: train the vision tower to write words into its tokens, then freeze it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch

from dsb.benchmarks.synth.render import Frames, render
from dsb.benchmarks.synth.world import FIRST_HELD_OUT_SEED, make_stream, sub_random
from dsb.models.tiny.optimisation import (
    average_over_processes,
    build_optimisers,
    learning_rate_factor,
    update,
)
from dsb.models.tiny.session import TrainingProcess, mixed_precision
from dsb.models.tiny.settings import TrainingSettings
from dsb.models.tiny.vision import augment, encode_units, patchify, reading_loss, token_labels

#: Streams of this length are drawn; pairs come from their first 57 s, up to 2 s apart.
_STREAM_S = 60
_LAST_START_S = 57
_LOG_EVERY = 100


def vision_batch(
    settings: TrainingSettings, rank: int, step: int
) -> tuple[Frames, dict[str, torch.Tensor]]:
    """Return (2n, 56, 56, 3) uint8 augmented frame pairs of random streams and their labels."""
    stage = settings.vision
    rng = sub_random("A", settings.seed, rank, step)
    noise = np.random.default_rng(rng.getrandbits(60))
    frames, labels = [], []
    for _ in range(stage.streams):
        seed = rng.randrange(FIRST_HELD_OUT_SEED)
        stream = make_stream(seed, _STREAM_S, density=rng.uniform(0.8, 2.5))
        apart = rng.choice([0, 0.5, 1, 1, 2])
        first = np.array([rng.uniform(0, _LAST_START_S) for _ in range(stage.pairs_per_stream)])
        times = np.stack([first, first + apart], 1).reshape(-1)
        frames.append(augment(render(stream, times), noise))
        labels.append(token_labels(stream, first + apart))
    merged = {name: torch.cat([label[name] for label in labels]) for name in labels[0]}
    return np.concatenate(frames), merged


def train_vision(model: Any, process: TrainingProcess) -> None:
    """Train `model.model.visual` in place; the word vectors stay as they are."""
    stage, processes = process.settings.vision, process.settings.processes
    tower = model.model.visual
    words = model.get_input_embeddings().weight.detach().clone()
    optimisers = build_optimisers(list(tower.named_parameters()), stage.learning_rate)
    history: defaultdict[str, list[float]] = defaultdict(list)
    tokens = torch.zeros(0)
    for step in range(stage.steps):
        frames, labels = vision_batch(process.settings, process.rank, step)
        with mixed_precision():
            tokens = encode_units(tower, patchify(frames))
        loss, accuracy = reading_loss(tokens, words, labels)
        factor = learning_rate_factor(step, stage.steps, stage.warmup_steps, stage.end_factor)
        update(optimisers, loss, stage.learning_rate * factor, processes)
        record = {"loss": loss.item(), "rms": _rms(tokens).item(), **accuracy}
        for name, value in record.items():
            history[name].append(value)
        if (step + 1) % _LOG_EVERY == 0 or step + 1 == stage.steps:
            means = {name: round(float(np.nanmean(x)), 3) for name, x in history.items()}
            process.log(f"A {step + 1} {means}")
            history.clear()
    _scale_tokens(tower, tokens, process.settings)


def _rms(tokens: torch.Tensor) -> torch.Tensor:
    return tokens.float().pow(2).mean().sqrt()


@torch.no_grad()
def _scale_tokens(tower: Any, tokens: torch.Tensor, settings: TrainingSettings) -> None:
    """Scale the last merger layer so that visual tokens have the intended root mean square.

    Every process scales by the same number, measured on the last batch of all of them.
    """
    rms = _rms(tokens).reshape(1)
    average_over_processes(rms, settings.processes)
    last = tower.merger.mlp[2]
    last.weight.mul_(settings.vision.token_rms / rms)
    last.bias.mul_(settings.vision.token_rms / rms)
