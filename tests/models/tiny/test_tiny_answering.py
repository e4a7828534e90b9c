"""Packed answers are those that the stock model gives to each question alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from dsb.benchmarks.synth.questions import ask
from dsb.benchmarks.synth.render import render
from dsb.benchmarks.synth.world import make_stream
from dsb.models.tiny.answering import RECENT_FRAMES, Asked, FirstToken, PackedAnswerer
from dsb.models.tiny.architecture import Architecture, build
from dsb.models.tiny.positions import prompt_positions
from dsb.models.tiny.prompts import PREFIX, PREFIX_LENGTH, question_ids
from dsb.models.tiny.vision import patchify
from dsb.models.tiny.vocabulary import VIDEO_PAD_ID

torch.set_num_threads(1)

STREAM = make_stream(11, 60)
FRAMES = render(STREAM, range(41))


@pytest.fixture(scope="module")
def model() -> Any:
    return build(Architecture(), seed=2).eval()


def asked_at(*frames: int) -> list[Asked]:
    rng = random.Random(7)
    drawn = [ask(STREAM, float(frame), rng) for frame in frames]
    return [Asked(question_ids(q), f) for q, f in zip(drawn, frames, strict=True) if q]


@torch.no_grad()
def stock(model: Any, frames: np.ndarray, question: list[int]) -> FirstToken:
    """The answer of the stock classes to one prompt; an odd number of frames repeats the last."""
    if len(frames) % 2:
        frames = np.concatenate([frames, frames[-1:]])
    units = len(frames) // 2
    ids = torch.tensor([[*PREFIX, *[VIDEO_PAD_ID] * (4 * units), *question]])
    model.set_attn_implementation("sdpa")
    model.model.rope_deltas = None
    logits = model(
        input_ids=ids,
        pixel_values_videos=patchify(frames).flatten(0, 1),
        video_grid_thw=torch.tensor([[units, 4, 4]]),
        position_ids=prompt_positions(PREFIX_LENGTH, units, ids.shape[1])[:, None],
        mm_token_type_ids=(ids == VIDEO_PAD_ID).int() * 2,
    ).logits[0, -1]
    best = logits.softmax(-1).max(-1)
    return FirstToken(int(best.indices), float(best.values))


def assert_same(got: FirstToken, expected: FirstToken) -> None:
    assert got.token == expected.token
    assert got.probability == pytest.approx(expected.probability, abs=1e-5)


def test_s2_sees_every_frame_up_to_each_question(model: Any) -> None:
    asked = asked_at(40, 0, 17, 1, 22, 39, 8, 8)
    got = PackedAnswerer(model).with_all_frames(FRAMES, asked)
    for one, said in zip(asked, got, strict=True):
        assert_same(said, stock(model, FRAMES[: one.frame + 1], one.question))


def test_s1_sees_the_last_eight_frames_as_a_clip_of_its_own(model: Any) -> None:
    asked = asked_at(40, 7, 17, 22, 22, 39)
    got = PackedAnswerer(model).with_recent_frames(FRAMES, asked)
    for one, said in zip(asked, got, strict=True):
        window = FRAMES[one.frame + 1 - RECENT_FRAMES : one.frame + 1]
        assert_same(said, stock(model, window, one.question))


def test_s1_repeats_the_first_frame_before_the_eighth(model: Any) -> None:
    (one,) = asked_at(2)
    (said,) = PackedAnswerer(model).with_recent_frames(FRAMES, [one])
    window = FRAMES[[0, 0, 0, 0, 0, 0, 1, 2]]
    assert_same(said, stock(model, window, one.question))


def test_a_blind_answer_depends_on_the_text_alone(model: Any) -> None:
    asked = asked_at(40, 7, 17)
    black = np.zeros_like(FRAMES[:2])
    for one, said in zip(asked, PackedAnswerer(model).blind(asked), strict=True):
        assert_same(said, stock(model, black, one.question))
