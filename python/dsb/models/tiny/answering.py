"""Packed answering: what S1, S2 and a blind system say to many questions, in few forward passes.

This is the evaluation of the trained model, not a backend: it answers hundreds of questions about
one stream in a second, each exactly as if it had been asked alone. A test holds it against the
stock `generate()`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dsb.models.tiny.architecture import FRAME_SIZE, FRAMES_PER_UNIT
from dsb.models.tiny.packing import (
    NO_QUESTION,
    PackedQuestion,
    hidden_states,
    pack,
    use_packed_attention,
)
from dsb.models.tiny.vision import encode_units, patchify
from dsb.models.tiny.vocabulary import IM_END_ID

Frames = npt.NDArray[np.uint8]

#: Frames in the window of S1.
RECENT_FRAMES = 8
_RECENT_UNITS = RECENT_FRAMES // FRAMES_PER_UNIT
#: Questions, or rows of questions, per forward pass.
_CHUNK = 48


@dataclass(frozen=True)
class Asked:
    """A question at a frame."""

    question: list[int]
    """Ids as from `question_ids`."""
    frame: int
    """Index of the newest frame that may be seen."""


@dataclass(frozen=True)
class FirstToken:
    """The greedy first token of an answer and its probability."""

    token: int
    probability: float


class PackedAnswerer:
    """Answers questions about one stream at a time.

    Args:
        model: the stock model in fp32; its attention is switched to the packed one.
        fps: frames per second of the streams; sets the distance of positions.
    """

    def __init__(self, model: Any, fps: float = 1.0) -> None:
        use_packed_attention(model)
        self.model = model
        self.unit_step = int(FRAMES_PER_UNIT / fps)

    def with_all_frames(self, frames: Frames, asked: Sequence[Asked]) -> list[FirstToken]:
        """Answer from every frame up to the question (S2). `frames` is (n, 56, 56, 3) uint8."""
        # An odd number of frames repeats the last one, as the stock processor does.
        missing = -len(frames) % FRAMES_PER_UNIT
        pairs = self._encode(np.concatenate([frames, frames[-1:].repeat(missing, 0)]))
        doubled = self._encode(frames[::FRAMES_PER_UNIT].repeat(FRAMES_PER_UNIT, 0))
        said: dict[int, FirstToken] = {}
        # In order of time, so that early questions come with a short prefix.
        order = sorted(range(len(asked)), key=lambda i: asked[i].frame)
        for start in range(0, len(order), _CHUNK):
            chunk = order[start : start + _CHUNK]
            row = [self._at_last_unit(asked[i], doubled) for i in chunk]
            # A question that brings its own last unit needs only the shared ones before it.
            shared = max(1, *(q.last_unit + (q.own_unit is None) for q in row))
            answers = self._answer([row], shared, pairs[:shared])
            said.update(zip(chunk, answers, strict=True))
        return [said[i] for i in range(len(asked))]

    def with_recent_frames(self, frames: Frames, asked: Sequence[Asked]) -> list[FirstToken]:
        """Answer from the last 8 frames on a clock of their own (S1).

        Before the eighth frame, the first one is repeated.
        """
        padded = np.concatenate([frames[:1].repeat(RECENT_FRAMES - 1, 0), frames])
        by_parity = [self._encode(_whole_units(padded[parity:])) for parity in (0, 1)]
        windows: defaultdict[int, list[int]] = defaultdict(list)
        for i, one in enumerate(asked):
            windows[one.frame].append(i)
        said: dict[int, FirstToken] = {}
        newest = sorted(windows)
        for start in range(0, len(newest), _CHUNK):
            chunk = newest[start : start + _CHUNK]
            units = [
                by_parity[frame % 2][frame // 2 : frame // 2 + _RECENT_UNITS] for frame in chunk
            ]
            rows = [[_packed(asked[i], _RECENT_UNITS - 1) for i in windows[f]] for f in chunk]
            answers = self._answer(rows, _RECENT_UNITS, torch.cat(units))
            said.update(zip((i for f in chunk for i in windows[f]), answers, strict=True))
        return [said[i] for i in range(len(asked))]

    def blind(self, asked: Sequence[Asked]) -> list[FirstToken]:
        """Answer from one unit of black frames: what the text alone gives away."""
        black = np.zeros((FRAMES_PER_UNIT, FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
        return self._answer([[_packed(one, 0) for one in asked]], 1, self._encode(black))

    @torch.no_grad()
    def _encode(self, frames: Frames) -> Tensor:
        return encode_units(self.model.model.visual, patchify(frames))

    def _at_last_unit(self, asked: Asked, doubled: Tensor) -> PackedQuestion:
        unit, second = divmod(asked.frame, FRAMES_PER_UNIT)
        return _packed(asked, unit, None if second else doubled[unit])

    @torch.no_grad()
    def _answer(
        self, rows: Sequence[Sequence[PackedQuestion]], units: int, visual: Tensor
    ) -> list[FirstToken]:
        """Answers in the order of the questions, row after row."""
        batch = pack(rows, units, self.unit_step)
        hidden = hidden_states(self.model, batch, visual)
        asked_at = (batch.question_index != NO_QUESTION).nonzero().tolist()
        order = sorted(asked_at, key=lambda at: (at[0], int(batch.question_index[at[0], at[1]])))
        states = torch.stack([hidden[row, column] for row, column in order])
        best = self.model.lm_head(states).softmax(-1).max(-1)
        answers = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [FirstToken(token, probability) for token, probability in answers]


def _packed(asked: Asked, last_unit: int, own_unit: Tensor | None = None) -> PackedQuestion:
    return PackedQuestion(asked.question, [IM_END_ID], last_unit, own_unit)


def _whole_units(frames: Frames) -> Frames:
    return frames[: len(frames) // FRAMES_PER_UNIT * FRAMES_PER_UNIT]


def load_model(folder: Path) -> Any:
    """Return the model of a folder through the Auto classes, in fp32 and evaluation mode."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    )
    return model.eval()
