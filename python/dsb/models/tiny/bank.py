"""The bank: streams that the frozen tower has encoded once, so that stage B never renders."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsb.benchmarks.synth.render import render
from dsb.benchmarks.synth.world import FIRST_HELD_OUT_SEED, Stream, make_stream, sub_random
from dsb.models.tiny.architecture import FRAMES_PER_UNIT, TOKENS_PER_UNIT
from dsb.models.tiny.session import TrainingProcess, mixed_precision, save_atomically
from dsb.models.tiny.settings import TrainingSettings
from dsb.models.tiny.vision import augment, encode_units, patchify


@dataclass(frozen=True)
class BankedStream:
    """A stream's ground truth and its visual tokens at 1 frame per second."""

    stream: Stream
    pairs: Tensor
    """(units, 4, D) bfloat16: units of two consecutive frames."""
    doubled: Tensor
    """(units, 4, D) bfloat16: units whose first frame stands for both."""


Bank = list[BankedStream]


def open_bank(model: Any, process: TrainingProcess) -> Bank:
    """Load this process's bank from its file, or build and save it.

    A file that this code cannot read is built again: the bank is a function of the frozen tower,
    the settings and the rank.
    """
    path = process.folder / f"bank{process.rank}.pt"
    tokens = _load(path, process.settings)
    if tokens is None:
        tokens = _encode_streams(model, process)
        save_atomically(path, tokens)
    sources = (_draw(process.settings, process.rank, i)[0] for i in range(len(tokens[0])))
    return [BankedStream(*entry) for entry in zip(sources, *tokens, strict=True)]


def _load(path: Path, settings: TrainingSettings) -> Tensor | None:
    if not path.is_file():
        return None
    try:
        tokens = torch.load(path, weights_only=True)
    except pickle.UnpicklingError:
        return None
    fits = isinstance(tokens, Tensor) and tokens.shape == _shape(settings)
    return tokens if fits else None


def _shape(settings: TrainingSettings) -> tuple[int, ...]:
    units = settings.bank.duration_s // FRAMES_PER_UNIT
    width = settings.architecture.hidden_size
    return (2, settings.bank.streams, units, TOKENS_PER_UNIT, width)


def _draw(settings: TrainingSettings, rank: int, index: int) -> tuple[Stream, Random]:
    """Return the stream at `index` of the bank and the generator that drew it."""
    rng = sub_random("bank", settings.seed, rank, index)
    seed = rng.randrange(FIRST_HELD_OUT_SEED)
    density = rng.choice([0.4, 1, 1, 1]) * rng.uniform(0.8, 2.0)
    return make_stream(seed, settings.bank.duration_s, density=density), rng


@torch.no_grad()
def _encode_streams(model: Any, process: TrainingProcess) -> Tensor:
    """Return (2, streams, units, 4, D) bfloat16: pairs and doubled frames of every stream.

    The result is allocated first: a list that grows between large temporaries would fragment the
    heap to a hundred times its size.
    """
    settings = process.settings
    tokens = torch.empty(_shape(settings), dtype=torch.bfloat16)
    for i in range(settings.bank.streams):
        stream, rng = _draw(settings, process.rank, i)
        frames = render(stream, np.arange(settings.bank.duration_s))
        frames = augment(frames, np.random.default_rng(rng.getrandbits(60)))
        doubled = frames[::2].repeat(2, 0)
        with mixed_precision():
            for kind, shown in enumerate((frames, doubled)):
                tokens[kind, i] = encode_units(model.model.visual, patchify(shown))
    process.log(f"bank {settings.bank.streams} x {settings.bank.duration_s} s per process")
    return tokens
