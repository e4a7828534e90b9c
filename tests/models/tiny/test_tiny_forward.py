"""The embedded model computes what the stock classes compute, only for many inputs at once."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from dsb.benchmarks.synth.questions import ask
from dsb.benchmarks.synth.render import render
from dsb.benchmarks.synth.world import make_stream
from dsb.models.tiny.architecture import Architecture, build
from dsb.models.tiny.packing import (
    PackedQuestion,
    hidden_states,
    pack,
    use_packed_attention,
)
from dsb.models.tiny.positions import prompt_positions
from dsb.models.tiny.prompts import PREFIX, PREFIX_LENGTH, answer_ids, question_ids
from dsb.models.tiny.vision import encode_units, patchify
from dsb.models.tiny.vocabulary import VIDEO_PAD_ID

torch.set_num_threads(1)

UNITS = 8
STREAM = make_stream(3)
FRAMES = render(STREAM, range(2 * UNITS))


@pytest.fixture(scope="module")
def model() -> Any:
    return build(Architecture(), seed=0).eval()


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.no_grad():
        yield


def question(t_s: float, task: str, seed: int) -> Any:
    drawn = ask(STREAM, t_s, random.Random(seed), task, tries=100)
    assert drawn is not None
    return drawn


def stock_hidden(model: Any, frames: np.ndarray, question: list[int]) -> Any:
    """The last hidden state of a prompt that goes through the stock model alone."""
    units = len(frames) // 2
    ids = torch.tensor([[*PREFIX, *[VIDEO_PAD_ID] * (4 * units), *question]])
    positions = prompt_positions(PREFIX_LENGTH, units, ids.shape[1])
    model.set_attn_implementation("sdpa")
    model.model.rope_deltas = None
    output = model.model(
        input_ids=ids,
        pixel_values_videos=patchify(frames).flatten(0, 1),
        video_grid_thw=torch.tensor([[units, 4, 4]]),
        position_ids=positions[:, None],
        mm_token_type_ids=(ids == VIDEO_PAD_ID).int() * 2,
    )
    return output.last_hidden_state[0, -1]


def packed_hidden(model: Any, rows: list[list[PackedQuestion]], frames: Any, *, dense: bool) -> Any:
    """The hidden states that predict the answers: one per question, row after row."""
    batch = pack(rows, UNITS)
    if dense:
        model.set_attn_implementation("sdpa")
    else:
        use_packed_attention(model)
    visual = torch.cat([encode_units(model.model.visual, patchify(f)) for f in frames])
    hidden = hidden_states(model, batch, visual, dense=dense)
    places = {
        (row, int(batch.question_index[row, at])): hidden[row, at]
        for row, at in (batch.question_index >= 0).nonzero().tolist()
    }
    return [places[row, j] for row, questions in enumerate(rows) for j in range(len(questions))]


def test_the_batched_tower_equals_the_stock_tower(model: Any) -> None:
    patches = patchify(FRAMES)
    ours = encode_units(model.model.visual, patches)
    grid = torch.tensor([[UNITS, 4, 4]])
    stock = model.model.visual(patches.flatten(0, 1), grid_thw=grid).pooler_output
    assert (ours.reshape(stock.shape) - stock).abs().max() < 1e-6


def test_patches_equal_those_of_the_stock_processor() -> None:
    from transformers import Qwen2VLImageProcessor

    processor = Qwen2VLImageProcessor(do_resize=False, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    still = FRAMES[5]
    stock = processor(images=[still], return_tensors="pt").pixel_values
    ours = patchify(np.stack([still, still]))[0]
    assert (ours - stock).abs().max() < 1e-5


@pytest.mark.parametrize("dense", [False, True], ids=["packed", "dense"])
def test_a_packed_question_equals_the_question_alone(model: Any, dense: bool) -> None:
    asked = [(question(15, "realtime", 1), 7), (question(11, "reasoning", 2), 5)]
    rows = [[PackedQuestion(question_ids(q), answer_ids(q.reply), k) for q, k in asked]]
    got = packed_hidden(model, rows, [FRAMES], dense=dense)
    for hidden, (q, last) in zip(got, asked, strict=True):
        alone = stock_hidden(model, FRAMES[: 2 * (last + 1)], question_ids(q))
        assert (hidden - alone).abs().max() < 1e-5


@pytest.mark.parametrize("dense", [False, True], ids=["packed", "dense"])
def test_a_question_with_its_own_last_unit_equals_an_odd_number_of_frames(
    model: Any, dense: bool
) -> None:
    frames = np.concatenate([FRAMES[:11], FRAMES[10:11]])
    own = encode_units(model.model.visual, patchify(frames))[-1]
    q, other = question(10, "reasoning", 3), question(15, "realtime", 4)
    rows = [
        [
            PackedQuestion(question_ids(other), answer_ids(other.reply), 7),
            PackedQuestion(question_ids(q), answer_ids(q.reply), 5, own),
        ]
    ]
    got = packed_hidden(model, rows, [FRAMES], dense=dense)[1]
    assert (got - stock_hidden(model, frames, question_ids(q))).abs().max() < 1e-5


def test_rows_of_a_batch_do_not_see_each_other(model: Any) -> None:
    other = render(make_stream(4), range(2 * UNITS))
    q = question(15, "realtime", 5)
    packed = PackedQuestion(question_ids(q), answer_ids(q.reply), 7)
    both = packed_hidden(model, [[packed] * 9, [packed]], [FRAMES, other], dense=False)
    assert (both[0] - stock_hidden(model, FRAMES, question_ids(q))).abs().max() < 1e-5
    assert (both[9] - stock_hidden(model, other, question_ids(q))).abs().max() < 1e-5


def test_the_same_seed_builds_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    a, b = (build(Architecture(), seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert torch.equal(state, torch.random.get_rng_state())


def test_word_vectors_start_orthonormal(model: Any) -> None:
    words = model.get_input_embeddings().weight
    assert (words @ words.T - torch.eye(len(words))).abs().max() < 1e-5
