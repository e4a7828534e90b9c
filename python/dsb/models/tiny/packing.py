"""Many questions behind one video prefix, in one forward pass.

A row of a packed batch is the prompt prefix, the visual tokens of all units, and then blocks of
equal length that are filled first-fit with questions. A question sees the visual tokens up to its
own last unit, and itself; it never sees another question. So one pass answers dozens of questions
asked at different times of one stream, and gives the hidden states that each would have alone.

With an odd number of frames the last frame is repeated (the stock rule), so the newest unit differs
from the one that later frames complete. Such a question brings its *own* last unit: four visual
tokens that lead the question and stand where the shared unit would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dsb.models.tiny.architecture import TOKENS_PER_UNIT
from dsb.models.tiny.positions import UNIT_STEP, text_start, visual_positions
from dsb.models.tiny.prompts import PREFIX, PREFIX_LENGTH
from dsb.models.tiny.vocabulary import PAD_ID, VIDEO_PAD_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Name under which the attention below is known to the stock classes.
PACKED_ATTENTION = "dsb_packed"
_BLOCKED = -1e9
#: Target of a token that carries no loss, and question index of a token that answers none.
NO_TARGET = -100
NO_QUESTION = -1


@dataclass(frozen=True)
class PackedQuestion:
    """One question of a packed row."""

    question: list[int]
    """Token ids from the end-of-vision mark to the place of the answer."""
    answer: list[int]
    """Token ids of the answer, which are trained on, or anything of the right length."""
    last_unit: int
    """The newest unit that the question sees."""
    own_unit: Tensor | None = None
    """(4, D) visual tokens in place of unit `last_unit`, or `None` for the shared ones."""

    @property
    def tokens(self) -> list[int]:
        """Ids that precede the answer, the own unit's pads included."""
        pads = [] if self.own_unit is None else [VIDEO_PAD_ID] * TOKENS_PER_UNIT
        return pads + self.question

    def __len__(self) -> int:
        return len(self.tokens) + len(self.answer)


@dataclass(frozen=True)
class Layout:
    """Which token sees which, for the packed attention. All biases are float32: 0 or -1e9."""

    prefix: int
    """Tokens of the shared prefix: prompt prefix and visual tokens."""
    blocks: int
    block_length: int
    prefix_bias: Tensor
    """(prefix, prefix): causal."""
    to_prefix_bias: Tensor
    """(rows, 1, blocks, block_length, prefix): up to the question's last unit."""
    within_bias: Tensor
    """(rows, 1, blocks, block_length, block_length): causal, within one question."""

    def dense_mask(self) -> Tensor:
        """Return the same rule as a (rows, 1, L, L) boolean mask for the stock attention."""
        rows = self.to_prefix_bias.shape[0]
        length = self.prefix + self.blocks * self.block_length
        mask = torch.zeros(rows, length, length, dtype=torch.bool)
        mask[:, : self.prefix, : self.prefix] = self.prefix_bias == 0
        mask[:, self.prefix :, : self.prefix] = self.to_prefix_bias.flatten(1, 3) == 0
        for block in range(self.blocks):
            start = self.prefix + block * self.block_length
            span = slice(start, start + self.block_length)
            mask[:, span, span] = self.within_bias[:, 0, block] == 0
        return mask[:, None]


@dataclass(frozen=True)
class PackedBatch:
    """Token ids and everything the model needs to read them. L = prefix + blocks * length."""

    ids: Tensor
    """(rows, L) int64."""
    positions: Tensor
    """(3, rows, L) int64."""
    targets: Tensor
    """(rows, L) int64: the next token where it belongs to an answer, else -100."""
    question_index: Tensor
    """(rows, L) int64: j at the token that predicts the first answer token of question j."""
    own_units: Tensor | None
    """(n, 4, D) own last units in the order of their tokens."""
    layout: Layout


@dataclass(frozen=True)
class _Place:
    row: int
    question: int
    block: int
    offset: int


def _first_fit(rows: Sequence[Sequence[PackedQuestion]], length: int) -> tuple[list[_Place], int]:
    """Return a place for every question, longest first, and the number of blocks per row."""
    places, blocks = [], 0
    for row, questions in enumerate(rows):
        filled: list[int] = []
        for j in sorted(range(len(questions)), key=lambda j: -len(questions[j].tokens)):
            size = len(questions[j])
            block = next((c for c, used in enumerate(filled) if used + size <= length), len(filled))
            if block == len(filled):
                filled.append(0)
            places.append(_Place(row, j, block, filled[block]))
            filled[block] += size
        blocks = max(blocks, len(filled))
    return places, blocks


class _Canvas:
    """The tensors of a batch while questions are being placed."""

    def __init__(self, rows: int, units: int, blocks: int, length: int, unit_step: int) -> None:
        self.prefix = PREFIX_LENGTH + TOKENS_PER_UNIT * units
        self.blocks, self.length, self.unit_step = blocks, length, unit_step
        total = self.prefix + blocks * length
        self.ids = torch.full((rows, total), PAD_ID)
        self.ids[:, :PREFIX_LENGTH] = torch.tensor(PREFIX)
        self.ids[:, PREFIX_LENGTH : self.prefix] = VIDEO_PAD_ID
        self.positions = torch.zeros(3, rows, total, dtype=torch.long)
        self.positions[:, :, :PREFIX_LENGTH] = torch.arange(PREFIX_LENGTH)
        shared = visual_positions(units, PREFIX_LENGTH, 0, unit_step)
        self.positions[:, :, PREFIX_LENGTH : self.prefix] = shared[:, None]
        self.targets = torch.full((rows, total), NO_TARGET)
        self.question_index = torch.full((rows, total), NO_QUESTION)
        self.limit = torch.full((rows, blocks, length), PREFIX_LENGTH)
        self.segment = torch.zeros(rows, blocks, length, dtype=torch.long)
        self.own: dict[tuple[int, int], Tensor] = {}

    def put(self, place: _Place, question: PackedQuestion) -> None:
        tokens, size, last = question.tokens, len(question), question.last_unit
        row, start = place.row, self.prefix + place.block * self.length + place.offset
        self.ids[row, start : start + size] = torch.tensor(tokens + question.answer)
        own = 0
        if question.own_unit is not None:
            own = TOKENS_PER_UNIT
            at = visual_positions(1, PREFIX_LENGTH, last, self.unit_step)
            self.positions[:, row, start : start + own] = at
            self.own[row, start] = question.own_unit
        text = text_start(last, PREFIX_LENGTH, self.unit_step) + torch.arange(size - own)
        self.positions[:, row, start + own : start + size] = text
        span = slice(place.offset, place.offset + size)
        shared_units = last if own else last + 1
        self.limit[row, place.block, span] = PREFIX_LENGTH + TOKENS_PER_UNIT * shared_units
        self.segment[row, place.block, span] = place.question + 1
        first = start + len(tokens) - 1
        self.targets[row, first : start + size - 1] = torch.tensor(question.answer)
        self.question_index[row, first] = place.question

    def layout(self) -> Layout:
        causal = torch.ones(self.length, self.length, dtype=torch.bool).tril()
        same = (self.segment[..., None] == self.segment[..., None, :]) & causal
        beyond = torch.arange(self.prefix) >= self.limit[..., None]
        return Layout(
            prefix=self.prefix,
            blocks=self.blocks,
            block_length=self.length,
            prefix_bias=torch.full((self.prefix, self.prefix), _BLOCKED).triu(1),
            to_prefix_bias=torch.zeros(beyond.shape).masked_fill_(beyond, _BLOCKED)[:, None],
            within_bias=torch.zeros(same.shape).masked_fill_(~same, _BLOCKED)[:, None],
        )

    def batch(self) -> PackedBatch:
        own = torch.stack([self.own[key] for key in sorted(self.own)]) if self.own else None
        return PackedBatch(
            self.ids, self.positions, self.targets, self.question_index, own, self.layout()
        )


def pack(
    rows: Sequence[Sequence[PackedQuestion]], units: int, unit_step: int = UNIT_STEP
) -> PackedBatch:
    """Pack the questions of each row behind a prefix of `units` units.

    Args:
        rows: the questions of each stream; every stream has the same number of units.
        unit_step: positions per unit: 2 at 1 frame per second, 4 at 0.5.
    """
    length = max(len(question) for questions in rows for question in questions)
    places, blocks = _first_fit(rows, length)
    canvas = _Canvas(len(rows), units, blocks, length, unit_step)
    for place in places:
        canvas.put(place, rows[place.row][place.question])
    return canvas.batch()


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    packed_layout: Layout,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of a packed row, in the signature of the stock attention interface.

    The prefix is causal; every block sees the prefix up to its limits, and itself. Scores are
    computed per block, so the cost grows with questions * prefix and not with its square.

    Args:
        query: (rows, heads, L, d), as `key` and `value`.
        packed_layout: the layout that `pack` made; the stock classes hand it through.
    """
    lay = packed_layout
    size, blocks, length = lay.prefix, lay.blocks, lay.block_length
    rows, heads, _total, d = query.shape
    value = value.contiguous()
    query, key = (query * scaling).to(value.dtype), key.to(value.dtype)
    prefix_key, prefix_value = key[:, :, :size], value[:, :, :size]
    scores = (query[:, :, :size] @ prefix_key.transpose(2, 3)).float() + lay.prefix_bias
    prefix_out = torch.softmax(scores, -1).to(value.dtype) @ prefix_value

    block_query, block_key, block_value = (x[:, :, size:] for x in (query, key, value))
    blocked = (rows, heads, blocks, length, d)
    to_prefix = (block_query @ prefix_key.transpose(2, 3)).view(rows, heads, blocks, length, size)
    within = block_query.reshape(blocked) @ block_key.reshape(blocked).transpose(3, 4)
    both = torch.cat([to_prefix.float() + lay.to_prefix_bias, within.float() + lay.within_bias], -1)
    p = torch.softmax(both, -1).to(value.dtype)
    flat = (rows, heads, blocks * length)
    from_prefix = p[..., :size].reshape(*flat, size) @ prefix_value
    from_block = (p[..., size:] @ block_value.reshape(blocked)).view(*flat, d)
    return torch.cat([prefix_out, from_prefix + from_block], 2).transpose(1, 2), None


def use_packed_attention(model: Any) -> None:
    """Switch the language model to `packed_attention`; the vision tower keeps its own."""
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
    model.set_attn_implementation({"text_config": PACKED_ATTENTION, "vision_config": "sdpa"})


def hidden_states(model: Any, batch: PackedBatch, visual: Tensor, *, dense: bool = False) -> Tensor:
    """Return the last hidden states (rows, L, D) of a packed batch.

    Args:
        model: after `use_packed_attention`, or with its stock attention if `dense`.
        visual: (rows * units, 4, D) visual tokens of the shared prefixes, row after row.
        dense: use one 4-D mask and the stock attention; slow, the reference for tests.
    """
    embedded = model.get_input_embeddings()(batch.ids)
    rows, _, width = embedded.shape
    end = PREFIX_LENGTH + visual.shape[0] // rows * TOKENS_PER_UNIT
    tail = embedded[:, end:]
    if batch.own_units is not None:
        pads = (batch.ids[:, end:] == VIDEO_PAD_ID)[..., None]
        tail = tail.masked_scatter(pads, batch.own_units.reshape(-1, width).to(embedded.dtype))
    shared = visual.reshape(rows, end - PREFIX_LENGTH, width).to(embedded.dtype)
    embedded = torch.cat([embedded[:, :PREFIX_LENGTH], shared, tail], 1)
    extra = {} if dense else {"packed_layout": batch.layout}
    output = model.model.language_model(
        inputs_embeds=embedded,
        position_ids=batch.positions,
        attention_mask=batch.layout.dense_mask() if dense else None,
        use_cache=False,
        **extra,
    )
    last: Tensor = output.last_hidden_state
    return last
