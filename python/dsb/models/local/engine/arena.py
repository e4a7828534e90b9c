"""Keys and values of one conversation, in memory that is allocated once.

Every forward writes behind the live slots. What stays is *committed* under an owner; what was only tried is rolled
back, which is a counter. The core's ledger knows who owns which slot; attention reads the live slots `0..used` as
they are, because positions are inside the keys and order means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from dsb._core import SlotLedger
from dsb.errors import OutOfMemory
from dsb.models.local.engine.recurrent import RecurrentState, linear_layers

#: Owner of tokens that will be rolled back.
SCRATCH = (1 << 63) - 1
#: Room for questions grows by whole blocks of this many slots.
_BLOCK = 256


class Share(NamedTuple):
    """Consecutive tokens of a forward that belong to one owner."""

    owner: int
    tokens: int
    #: Never evicted.
    sink: bool = False


class Arena:
    """Slots for the keys and values of every attention layer of a model.

    A layer's slots are on the layer's device. Layers of one device share one tensor
    `[layers, 2, kv heads, capacity, head dim]`, so moving slots is one copy.
    """

    def __init__(self, model: Any, limit_bytes: int, dtype: torch.dtype) -> None:
        """Without slots; there will never be more than `limit_bytes` of them."""
        text = model.config.get_text_config()
        self._shape = (kv_heads(text), head_width(text))
        self._dtype = dtype
        #: The state of linear-attention layers; `None` in a model that has none.
        self.recurrent = RecurrentState(text) if linear_layers(text) else None
        linear = {} if self.recurrent is None else self.recurrent.layers
        modules = model.model.language_model.layers
        attention = [number for number in range(text.num_hidden_layers) if number not in linear]
        self._devices = [_device_of(modules[number]) for number in attention]
        self.slot_bytes = len(self._devices) * 2 * self._shape[0] * self._shape[1] * dtype.itemsize
        self._limit = limit_bytes // self.slot_bytes
        self._blocks: list[Tensor] = []
        self._layers: list[Tensor] = []
        self._writing = slice(0, 0)
        #: Of an eviction: slots whose content is elsewhere yet, from where to where.
        self._moves: list[tuple[int, int]] = []
        #: Slots in front of this one hold numbers.
        self._defined = 0
        self.capacity = 0
        self._ledger = SlotLedger(max(1, self._limit))
        places = {number: place for place, number in enumerate(attention)}
        #: What transformers' layers write to.
        self.cache = Cache(
            layers=[
                linear[number] if number in linear else _Layer(self, places[number])
                for number in range(text.num_hidden_layers)
            ]
        )

    # -- who owns what -----------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Live slots; they are `0..used`."""
        return self._ledger.used

    @property
    def prefix(self) -> int:
        """Slots in front of those that the running forward writes."""
        start: int = self._writing.start
        return start

    @property
    def nbytes(self) -> int:
        """Memory of all slots."""
        return self.capacity * self.slot_bytes

    def slots(self, owner: int) -> list[int]:
        """Slots of `owner` in the order in which it got them."""
        return self._ledger.slots(owner)

    def owners(self) -> list[int]:
        """Owners in the order of their first token."""
        return self._ledger.owners()

    def visible(self, owners: Sequence[int]) -> list[int]:
        """Ascending slots of the sinks and of these owners."""
        return self._ledger.visible(owners)

    # -- appending ---------------------------------------------------------------------------------

    def extend(self, shares: Sequence[Share], *, along: bool = False) -> None:
        """Make room at the tail; the next forward writes there, and `along` with what the last call made room for.

        To be used inside `attempt` or `trial`.

        Raises:
            OutOfMemory: there is no room.
        """
        self._settle()
        start = self.used
        stop = start + sum(share.tokens for share in shares)
        if stop > self.capacity:
            self._grow(stop)
        for share in shares:
            self._ledger.append(share.owner, share.tokens, sink=share.sink)
        self._writing = slice(self._writing.start if along else start, stop)
        # What this forward writes counts when it has: it may fail.
        self._defined = max(self._defined, self._writing.start)

    def reserve(self, slots: int) -> None:
        """Allocate at once what `slots` tokens need.

        Raises:
            OutOfMemory: that is more than the limit.
        """
        if slots > self.capacity:
            self._grow(slots)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """What is appended inside stays, unless an exception leaves the block."""
        back = self.way_back()
        try:
            yield
        except BaseException:
            back()
            raise

    @contextmanager
    def trial(self) -> Iterator[None]:
        """What is appended inside is forgotten at the end."""
        back = self.way_back()
        try:
            yield
        finally:
            back()

    def way_back(self) -> Callable[[], None]:
        """What forgets everything that is appended from now on."""
        mark, recurrent = self._ledger.mark(), self.recurrent
        state = None if recurrent is None else recurrent.snapshot()

        def back() -> None:
            self._ledger.rollback(mark)
            if recurrent is not None and state is not None:
                recurrent.restore(state)

        return back

    def clear(self) -> None:
        """Forget everything."""
        self._ledger = SlotLedger(max(1, self._limit))
        self._moves = []
        if self.recurrent is not None:
            self.recurrent.reset()

    def evict(self, owners: Sequence[int]) -> None:
        """Drop these owners. The last slots move into the holes, so the live ones stay dense.

        When the moves fail, for lack of memory, the owners are gone nevertheless, and the next call of this or of
        `extend` moves again: until then nothing is written over what has to move.
        """
        self._settle()
        self._moves = self._ledger.evict(owners)
        self._settle()

    def _settle(self) -> None:
        if not self._moves:
            return
        sources, holes = (torch.tensor(ends) for ends in zip(*self._moves, strict=True))
        for block in self._blocks:
            into, out = holes.to(block.device), sources.to(block.device)
            block.index_copy_(3, into, block.index_select(3, out))
        self._moves = []

    # -- tensors -----------------------------------------------------------------------------------

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store (1, kv heads, n, head dim) of a layer; returns all its live keys and values, as views."""
        block = self._layers[layer]
        block[0, :, self._writing] = keys[0]
        block[1, :, self._writing] = values[0]
        live = block[:, None, :, : self._writing.stop]
        return live[0], live[1]

    @property
    def spread(self) -> bool:
        """Whether its layers are on several devices."""
        return len(set(self._devices)) > 1

    def block(self, columns: int) -> Tensor:
        """All slots of a model on one device, (layers, 2, kv heads, capacity, head dim).

        The first `columns` hold numbers, zeros where nothing was ever written. (Of memory that is merely allocated
        a NaN may come, which no mask hides.)
        """
        (block,) = self._blocks
        if columns > self._defined:
            block[:, :, :, self._defined : columns] = 0
            self._defined = columns
        return block

    def keys(self, slots: Sequence[int]) -> list[Tensor]:
        """Copies of the keys at `slots`, (layers, kv heads, slots, head dim) per device."""
        index = torch.tensor(slots, dtype=torch.long)
        return [block[:, 0].index_select(2, index.to(block.device)) for block in self._blocks]

    def put_keys(self, slots: Sequence[int], keys: Sequence[Tensor]) -> None:
        """Replace the keys at `slots` by what `keys` would return."""
        index = torch.tensor(slots, dtype=torch.long)
        for block, each in zip(self._blocks, keys, strict=True):
            block[:, 0].index_copy_(2, index.to(block.device), each)

    def _grow(self, slots: int) -> None:
        if slots > self._limit:
            raise OutOfMemory(
                f"{slots} tokens need {slots * self.slot_bytes} bytes of keys and values, and "
                f"system.streaming_embed_cache.arena_bytes allows {self._limit} tokens; raise it, or use a shorter "
                "window or shorter prompts"
            )
        capacity = min(-(-slots // _BLOCK) * _BLOCK, self._limit)
        live = slice(0, self._writing.stop)
        blocks, layers = [], []
        for place, (device, group) in enumerate(groupby(self._devices)):
            count = len(list(group))
            heads, width = self._shape
            block = torch.empty(
                (count, 2, heads, capacity, width), dtype=self._dtype, device=device
            )
            if self._blocks:
                block[:, :, :, live] = self._blocks[place][:, :, :, live]
            blocks.append(block)
            layers += list(block)
        self._blocks, self._layers, self.capacity = blocks, layers, capacity
        self._defined = min(self._defined, live.stop)


class _Layer(CacheLayerMixin):
    """One attention layer of an arena, as transformers wants to see it."""

    is_croppable = False
    is_compileable = False

    def __init__(self, arena: Arena, number: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._arena = arena
        self._number = number
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Memory is there already."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Called by every attention layer with its new keys and values."""
        return self._arena.write(self._number, key_states, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Unused: masks are ours."""
        return self._arena.used, 0

    def get_seq_length(self) -> int:
        """Live slots in front of the running forward."""
        return self._arena.prefix

    def get_max_length(self) -> int:
        """Slots that there are."""
        return self._arena.capacity


def kv_heads(text: Any) -> int:
    """Key and value heads of a text configuration."""
    return int(getattr(text, "num_key_value_heads", None) or text.num_attention_heads)


def head_width(text: Any) -> int:
    """Length of one key."""
    return int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)


def _device_of(layer: Any) -> torch.device:
    device: torch.device = next(layer.parameters()).device
    return device
