"""Batches of stage B: crops of banked streams with questions, as a function of (seed, rank, step).

Crops start anywhere in a stream. A question is about the crop, as if the viewer had tuned in at its
start; a few questions are about the whole past although only the crop is visible. Those cannot be
answered, and it is they that keep the model's confidence honest: it is what a router reads later.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from dsb.benchmarks.synth.question import Question
from dsb.benchmarks.synth.questions import ask
from dsb.benchmarks.synth.world import crop, sub_random
from dsb.models.tiny.architecture import FRAMES_PER_UNIT
from dsb.models.tiny.bank import Bank
from dsb.models.tiny.packing import PackedBatch, PackedQuestion, pack
from dsb.models.tiny.prompts import answer_ids, question_ids
from dsb.models.tiny.settings import Bucket, TrainingSettings

#: Up to this many units a crop counts as short: its questions are mostly about the present.
_SHORT_UNITS = 8
#: Relative frequency of the tasks, in the order of `questions.TASKS`.
_SHORT_MIX = (6, 1, 1, 1, 3)
_LONG_MIX = (2, 4, 5, 2.5, 2.5)
#: Up to this many units a crop may be sampled at 0.5 frames per second.
_HALF_RATE_UNITS = 75
_HALF_RATE_SHARE = 0.2
_OWN_UNIT_SHARE = 0.25
#: Share of streams whose questions are about more than the crop.
_UNSEEN_PAST_SHORT, _UNSEEN_PAST_LONG = 0.25, 0.08
_BOILERPLATE_BATCHES, _BOILERPLATE_SHARE = 0.1, 0.8
#: In the last phase letter questions fade out linearly over this many steps, down to a floor.
_LETTER_FADE_STEPS, _LETTER_FLOOR = 6000, 0.2


@dataclass(frozen=True)
class Recipe:
    """What one batch is drawn from."""

    bucket: Bucket
    boilerplate_share: float
    letter_share: float
    choice_share: float


@dataclass(frozen=True)
class Row:
    """One crop and its questions."""

    visual: Tensor
    """(units, 4, D) visual tokens."""
    stride: int
    """Bank units per unit: 2 at half the frame rate."""
    questions: list[Question]
    packed: list[PackedQuestion]


@dataclass(frozen=True)
class LanguageBatch:
    """One step of stage B."""

    units: int
    packed: PackedBatch
    visual: Tensor
    """(rows * units, 4, D)."""
    questions: list[list[Question]]


def recipe_at(settings: TrainingSettings, step: int) -> Recipe:
    """Return the recipe of a step; it is the same on all processes."""
    phases = settings.language.phases
    index, within = settings.language.phase_at(step)
    phase = phases[index]
    rng = sub_random("bucket", settings.seed, step)
    bucket = rng.choices(phase.buckets, [b.weight for b in phase.buckets])[0]
    boilerplate = _BOILERPLATE_SHARE * (rng.random() < _BOILERPLATE_BATCHES)
    letters = phase.letter_share
    if index == len(phases) - 1:
        letters *= max(_LETTER_FLOOR, 1 - within / _LETTER_FADE_STEPS)
    if bucket.units == 1:
        letters = 1.0
    return Recipe(bucket, boilerplate, letters, phase.choice_share)


def language_batch(settings: TrainingSettings, bank: Bank, rank: int, step: int) -> LanguageBatch:
    """Return the batch of a process at a step. All rows have the same frame rate."""
    recipe = recipe_at(settings, step)
    rng = sub_random("B", settings.seed, rank, step)
    rows: list[Row] = []
    while len(rows) < recipe.bucket.streams:
        row = draw_row(bank, rng, recipe)
        if not rows or row.stride == rows[0].stride:
            rows.append(row)
    units = recipe.bucket.units
    packed = pack([row.packed for row in rows], units, FRAMES_PER_UNIT * rows[0].stride)
    visual = torch.cat([row.visual for row in rows])
    return LanguageBatch(units, packed, visual, [row.questions for row in rows])


def draw_row(bank: Bank, rng: Random, recipe: Recipe) -> Row:
    """Draw a crop of a banked stream and its questions."""
    units = recipe.bucket.units
    short = units <= _SHORT_UNITS
    halved = units <= _HALF_RATE_UNITS and rng.random() < _HALF_RATE_SHARE
    stride = 2 if halved else 1
    entry = rng.choice(bank)
    span = units * stride
    first = rng.randrange(0, len(entry.pairs) - span + 1)
    offset_s = 1.0 * FRAMES_PER_UNIT * first
    unseen_past = rng.random() < (_UNSEEN_PAST_SHORT if short else _UNSEEN_PAST_LONG)
    visible = crop(entry.stream, offset_s, FRAMES_PER_UNIT * span)
    questions, packed = [], []
    for _ in range(recipe.bucket.questions):
        last = _last_unit(rng, units)
        own = stride == 1 and last > 0 and rng.random() < _OWN_UNIT_SHARE
        t_s = _newest_frame_s(last, stride, own)
        question = ask(
            entry.stream if unseen_past else visible,
            offset_s + t_s if unseen_past else t_s,
            rng,
            mix=_SHORT_MIX if short else _LONG_MIX,
            gap_s=rng.choice([0, 4, 10]),
            letter=recipe.letter_share,
            multiple_choice=recipe.choice_share,
        )
        assert question is not None  # without a fixed task there is always something to ask
        ids = question_ids(question, rng, recipe.boilerplate_share)
        own_unit = entry.doubled[first + last] if own else None
        packed.append(PackedQuestion(ids, answer_ids(question.reply), last, own_unit))
        questions.append(question)
    visual = entry.pairs[first + stride - 1 : first + span : stride]
    return Row(visual, stride, questions, packed)


def _last_unit(rng: Random, units: int) -> int:
    """Draw when a question is asked: late in short crops, in the later part of long ones."""
    if units <= _SHORT_UNITS:
        return units - 1 if rng.random() < 0.7 else rng.randrange(units)
    return rng.randrange(units // 2 if rng.random() < 0.5 else units // 4, units)


def _newest_frame_s(last_unit: int, stride: int, own_unit: bool) -> float:
    """Return the time of the newest visible frame on the crop's clock."""
    if own_unit:
        return 1.0 * FRAMES_PER_UNIT * last_unit
    return FRAMES_PER_UNIT * (last_unit * stride + stride - 1) + 1.0
