"""Linear-attention layers: a snapshot takes a hybrid model back to exactly where it was."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, Qwen2Config, Qwen3_5TextConfig, Qwen3_5TextModel
from transformers.cache_utils import Cache, DynamicLayer

from dsb.errors import ModelError
from dsb.models.local.engine.recurrent import RecurrentState, linear_layers
from dsb.models.local.families.cache_keyword import cache_keyword

KINDS = ["linear_attention", "linear_attention", "full_attention", "linear_attention"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = Qwen3_5TextConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=len(KINDS),
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        layer_types=KINDS,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        initializer_range=0.2,
    )
    return Qwen3_5TextModel(config).eval().requires_grad_(False)


class Sequence:
    """A cache of a hybrid model with stock layers for full attention."""

    def __init__(self, model):
        self.model = model
        self.state = RecurrentState(model.config)
        self.cache = Cache(
            layers=[self.state.layers.get(i) or DynamicLayer() for i in range(len(KINDS))]
        )

    def feed(self, ids):
        start = self.cache.get_seq_length()
        places = torch.arange(start, start + len(ids))[None]
        return self.model(
            input_ids=torch.tensor([ids]),
            position_ids=places,
            **{cache_keyword(self.model): self.cache},
        ).last_hidden_state[0]

    def back(self, snapshot, tokens):
        self.state.restore(snapshot)
        if tokens:
            self.cache.layers[KINDS.index("full_attention")].crop(-tokens)


PREFIX, QUESTION, OTHER = list(range(3, 40)), [50, 51, 52, 53], [60, 61]


def test_only_the_linear_layers_are_found(model):
    assert linear_layers(model.config) == (0, 1, 3)
    assert linear_layers(Qwen2Config(num_hidden_layers=2)) == ()


def test_another_kind_of_layer_is_refused(model):
    config = Qwen2Config(num_hidden_layers=1, layer_types=["sliding_attention"])
    with pytest.raises(ModelError, match="sliding_attention"):
        linear_layers(config)


def test_a_sequence_gives_what_the_stock_cache_gives(model):
    ids = torch.tensor([PREFIX])
    places = torch.arange(len(PREFIX))[None]
    cache = {cache_keyword(model): DynamicCache(config=model.config)}
    stock = model(input_ids=ids, position_ids=places, **cache)
    assert torch.equal(Sequence(model).feed(PREFIX), stock.last_hidden_state[0])


def test_a_rolled_back_question_leaves_no_trace(model):
    asked, fresh = Sequence(model), Sequence(model)
    asked.feed(PREFIX)
    mark = asked.state.snapshot()
    asked.feed(QUESTION)
    for token in (7, 8, 9):
        asked.feed([token])
    asked.back(mark, len(QUESTION) + 3)
    fresh.feed(PREFIX)
    assert torch.equal(asked.feed(OTHER), fresh.feed(OTHER))


def test_without_the_snapshot_a_question_would_leave_a_trace(model):
    asked, fresh = Sequence(model), Sequence(model)
    asked.feed(PREFIX)
    asked.feed(QUESTION)
    asked.cache.layers[KINDS.index("full_attention")].crop(-len(QUESTION))
    fresh.feed(PREFIX)
    assert not torch.allclose(asked.feed(OTHER), fresh.feed(OTHER), atol=1e-3)


def test_one_snapshot_serves_many_rollbacks(model):
    sequence = Sequence(model)
    sequence.feed(PREFIX)
    mark = sequence.state.snapshot()
    answers = []
    for _ in range(3):
        answers.append(sequence.feed([5]))
        sequence.feed(QUESTION)
        sequence.back(mark, 1 + len(QUESTION))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_a_snapshot_before_the_first_token_is_the_empty_state(model):
    sequence = Sequence(model)
    mark = sequence.state.snapshot()
    sequence.feed(PREFIX)
    sequence.back(mark, len(PREFIX))
    assert mark.nbytes == 0
    assert sequence.state.snapshot().nbytes == 0
    assert torch.equal(sequence.feed(OTHER), Sequence(model).feed(OTHER))


def test_tensors_stay_where_they_are(model):
    sequence = Sequence(model)
    sequence.feed(PREFIX)
    mark = sequence.state.snapshot()
    before = [layer.recurrent_states[0].data_ptr() for layer in sequence.state.layers.values()]
    sequence.feed(QUESTION)
    sequence.state.restore(mark)
    after = [layer.recurrent_states[0].data_ptr() for layer in sequence.state.layers.values()]
    assert before == after
    assert mark.nbytes > 0
