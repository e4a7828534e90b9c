"""The attention functions of the language model over an arena.

transformers builds a mask by itself unless the configured attention has no mask function; then it passes on what it
is given. These have none, so the absence of a mask has one meaning here: rows are the newest tokens and each sees
all that is before it (the stock functions would cut the keys to the length of the queries instead).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

Attention = Literal["auto", "flash", "sdpa", "eager"]
_Kernels = Callable[[], AbstractContextManager[Any]]


def attention_name(choice: Attention) -> str:
    """The name under which transformers knows the function for `choice`; registers all of them."""
    for name in _FUNCTIONS:
        AttentionInterface.register(name, _over_arena(name))
    return _NAMES[choice]


def _over_arena(name: str) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """The function, or the operator around it where a compiled step gives the slots and the arena."""
    function = _FUNCTIONS[name]

    def attend(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        scaling: float | None = None,
        arena_slots: Tensor | None = None,
        arena_block: Tensor | None = None,
        **more: Any,
    ) -> tuple[Tensor, Tensor | None]:
        if arena_block is None:
            return function(module, query, key, value, attention_mask, scaling=scaling, **more)
        where = arena_slots, arena_block, module.layer_idx
        mixed = torch.ops.dsb.attend(query, key, value, attention_mask, *where, scaling, name)
        return mixed, None

    return attend


def _sdpa(kernels: _Kernels) -> Callable[..., tuple[Tensor, None]]:
    def attend(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        scaling: float | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        rows, columns = query.shape[2], key.shape[2]
        if rows == 1:
            # Flash kernels of GPUs take no mask.
            with kernels() if attention_mask is None else nullcontext():
                mixed = _single(query, key, value, attention_mask, scaling)
        elif attention_mask is not None:
            mixed = _masked(query, key, value, attention_mask, scaling)
        else:
            # Equal lengths are the ordinary triangle.
            bias = causal_lower_right(rows, columns) if rows < columns else None
            with kernels():
                mixed = scaled_dot_product_attention(
                    query,
                    key,
                    value,
                    attn_mask=bias,
                    is_causal=rows == columns,
                    scale=scaling,
                    enable_gqa=query.shape[1] != key.shape[1],
                )
        return mixed.transpose(1, 2).contiguous(), None

    return attend


def _single(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None
) -> Tensor:
    """One new token: the queries of a group are rows over the same keys, so these are read once per group."""
    _, heads, _, width = query.shape
    groups = key.shape[1]
    mixed = scaled_dot_product_attention(
        query.reshape(1, groups, heads // groups, width), key, value, attn_mask=mask, scale=scaling
    )
    return mixed.reshape(1, heads, 1, value.shape[-1])


def _masked(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None
) -> Tensor:
    """With KV heads as the batch: queries of a group share keys, values and mask without copies of them."""
    _, heads, rows, width = query.shape
    groups = key.shape[1]
    mixed = scaled_dot_product_attention(
        query.reshape(groups, heads // groups, rows, width),
        key.transpose(0, 1).expand(-1, heads // groups, -1, -1),
        value.transpose(0, 1).expand(-1, heads // groups, -1, -1),
        attn_mask=mask,
        scale=scaling,
    )
    return mixed.reshape(1, heads, rows, value.shape[-1])


def _eager(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """The formula itself: softmax(QK / sqrt(d) + mask) V, the softmax in float32."""
    rows, columns = query.shape[2], key.shape[2]
    group = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(group, dim=1) for each in (key, value))
    if attention_mask is None:
        seen = torch.ones((rows, columns), dtype=torch.bool, device=query.device)
        attention_mask = seen.tril(columns - rows)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query @ key.transpose(2, 3) * scale).masked_fill(~attention_mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value).transpose(1, 2).contiguous(), weights


#: transformers looks for a package of kernels behind every name that contains "flash".
_NAMES: dict[Attention, str] = {
    "auto": "dsb_sdpa",
    "sdpa": "dsb_sdpa",
    "flash": "dsb_fused",
    "eager": "dsb_eager",
}
_FUNCTIONS: dict[str, Callable[..., tuple[Tensor, Tensor | None]]] = {
    _NAMES["sdpa"]: _sdpa(nullcontext),
    # Raises where torch has no flash kernel for the case, instead of falling back.
    _NAMES["flash"]: _sdpa(lambda: sdpa_kernel(SDPBackend.FLASH_ATTENTION)),
    _NAMES["eager"]: _eager,
}


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    slots: Tensor,
    block: Tensor,
    layer: int,
    scaling: float | None,
    name: str,
) -> Tensor:
    """Store keys and values of `layer` at `slots` of an arena's block, then attend to as many slots as `mask` has.

    (1, heads, n, head dim) -> (1, n, heads, head dim). `name` is one of the functions above.
    """
    keys, values = block[layer].unbind(0)
    keys.index_copy_(1, slots, key[0])
    values.index_copy_(1, slots, value[0])
    seen = keys[None, :, : mask.shape[-1]], values[None, :, : mask.shape[-1]]
    return _FUNCTIONS[name](None, query, *seen, mask, scaling=scaling)[0]


def _attended(query: Tensor, *_: Any) -> Tensor:
    """What `_attend` returns, without numbers."""
    batch, heads, rows, width = query.shape
    return query.new_empty(batch, rows, heads, width)


torch.library.define(
    "dsb::attend",
    "(Tensor query, Tensor key, Tensor value, Tensor mask, Tensor slots, Tensor(a!) block, int layer, "
    "float? scaling, str name) -> Tensor",
)
torch.library.impl("dsb::attend", "CompositeExplicitAutograd", _attend)
torch.library.register_fake("dsb::attend", _attended)
