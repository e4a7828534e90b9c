"""What the engine relies on inside transformers, checked once per process before a model is loaded.

transformers promises none of this. An upgrade that changes one of these points would not raise: it would answer
differently. Each guard is one such point, and its docstring says what the engine does with it. The tests run the same
guards, and others that need a model of every family.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
import transformers
from packaging.version import Version
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer, LinearAttentionLayer

from dsb.errors import ModelError
from dsb.models.local.families.cache_keyword import cache_keyword

#: The two ends of the range in which every family passes its tests; both are tested before a release, and
#: `pyproject.toml` allows what lies between them and patches of the newest.
OLDEST, NEWEST = "5.20.1", "5.24.0"

Guard = Callable[[], bool]
_NAME = "dsb_guard"


@lru_cache(1)
def check_guards() -> None:
    """Raise `ModelError` for a version out of range, or naming the guards that do not hold in this one."""
    installed = Version(Version(transformers.__version__).base_version)
    newest = f"pip install 'transformers=={NEWEST}'"
    if installed < Version(OLDEST):
        raise ModelError(
            f"transformers {transformers.__version__} is older than {OLDEST}, the oldest that works; {newest}"
        )
    if installed.release[:2] > Version(NEWEST).release[:2]:
        raise ModelError(
            f"transformers {transformers.__version__} is newer than any that was tried; {newest}"
        )
    broken = list(broken_guards())
    if broken:
        passes = OLDEST if installed == Version(NEWEST) else NEWEST
        raise ModelError(
            f"transformers {transformers.__version__} works differently inside from what the engine relies on "
            f"({'; '.join(broken)}); report this version, and until then: "
            f"pip install 'transformers=={passes}'"
        )


def broken_guards() -> Iterator[str]:
    """Name and meaning of each guard that does not hold."""
    for guard in GUARDS:
        try:
            holds = guard()
        except Exception as error:  # noqa: BLE001 - whatever a changed library raises, the guard does not hold
            yield f"{guard.__name__}: {type(error).__name__}: {error}"
            continue
        if not holds:
            yield f"{guard.__name__}: {(guard.__doc__ or '').partition('.')[0]}"


def no_mask_is_made() -> bool:
    """The text tower makes no mask for an attention function without a mask function.

    The arena's slots are in no order, so any mask that transformers made would be wrong.
    """
    return _attention_sees(None) is None


def a_mask_is_passed_on() -> bool:
    """The text tower passes a boolean mask of four dimensions on to the attention function as it is.

    Windows, trees of questions and views of another system's arena are such masks.
    """
    mask = torch.tensor([[[[True, False, True, True, False], [False, True, True, False, True]]]])
    seen = _attention_sees(mask)
    return seen is not None and seen.dtype == torch.bool and torch.equal(seen, mask)


def keywords_are_passed_on() -> bool:
    """The text tower passes keywords that it does not know on to the attention function.

    A compiled step hands its slots and the arena over that way.
    """
    seen: list[object] = []

    def attend(
        module: Any, query: Tensor, *_: Any, arena_slots: object = None, **__: Any
    ) -> tuple[Tensor, None]:
        seen.append(arena_slots)
        return query.transpose(1, 2), None

    transformers.AttentionInterface.register(_NAME, attend)
    model, slots = _text_model(), torch.arange(2)
    model.config._attn_implementation = _NAME
    model(
        inputs_embeds=torch.zeros(1, 2, model.config.hidden_size),
        position_ids=torch.arange(2)[None],
        use_cache=False,
        arena_slots=slots,
    )
    return len(seen) == 2 and all(each is slots for each in seen)


def cache_layers_are_ours() -> bool:
    """A cache of own layers gets keys and values through `update`, in the order of the layers.

    The arena is such a cache.
    """
    layers = [_Recorder(), _Recorder()]
    cache = Cache(layers=list(layers))
    model = _text_model()
    states = torch.zeros(1, 2, model.config.hidden_size)
    given = {cache_keyword(model): cache}
    model(inputs_embeds=states, position_ids=torch.arange(2)[None], **given)
    shape = (1, 1, 2, 8)
    return all(layer.seen == [(shape, shape)] for layer in layers)


def cache_layer_methods() -> bool:
    """A cache layer needs `update`, `get_mask_sizes`, `get_seq_length`, `get_max_length` and `lazy_initialization`.

    The arena's layer has these and no others.
    """
    needed = set(CacheLayerMixin.__abstractmethods__)
    return needed <= {
        "update",
        "get_mask_sizes",
        "get_seq_length",
        "get_max_length",
        "lazy_initialization",
    }


def the_prefix_comes_from_the_cache() -> bool:
    """The text tower takes positions from the caller, never from the length of the cache, when they are given.

    Positions are not slot numbers once frames have left.
    """
    model = _text_model()
    states = torch.randn(1, 3, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    outputs = []
    for start in (0, 7):
        given = {cache_keyword(model): Cache(layers=[DynamicLayer() for _ in range(2)])}
        where = torch.arange(start, start + 3)[None]
        outputs.append(model(inputs_embeds=states, position_ids=where, **given).last_hidden_state)
    # Rotary positions are relative: the same sequence anywhere else gives the same.
    return torch.allclose(outputs[0], outputs[1], atol=1e-5)


def rotations_compose() -> bool:
    """`rotary_emb(x, positions)` returns cosine and sine of each position, and rotations add up.

    `position: anchor` moves cached keys by rotating them further.
    """
    rotary = _text_model().rotary_emb
    probe = torch.zeros(1, 3, 8)
    one, two, both = (rotary(probe, torch.full((1, 3), position)) for position in (5, 11, 16))
    cosine = one[0] * two[0] - one[1] * two[1]
    sine = one[1] * two[0] + one[0] * two[1]
    return torch.allclose(cosine, both[0], atol=1e-5) and torch.allclose(sine, both[1], atol=1e-5)


def recurrent_state_names() -> bool:
    """A linear-attention layer keeps `conv_states`, `recurrent_states` and `has_previous_state` by number.

    A question on a hybrid model is undone by putting copies of them back.
    """
    layer = LinearAttentionLayer(number_of_states=1)
    layer.update_conv_state(torch.ones(1, 2, 4), state_idx=0)
    layer.update_recurrent_state(torch.ones(1, 1, 2, 2), state_idx=0)
    conv, recurrent = layer.conv_states[0], layer.recurrent_states[0]
    filled = conv is not None and recurrent is not None and bool(conv.all() and recurrent.all())
    layer.reset()
    return filled and layer.has_previous_state == {0: False}


def attention_is_chosen_by_name() -> bool:
    """`AttentionInterface.register` makes a function available, with (module, query, key, value, mask) first.

    The arena's attention functions come in this way.
    """
    parameters = list(inspect.signature(transformers.AttentionInterface.register).parameters)
    return parameters[:2] == ["key", "value"]


#: In the order in which an engineer would look at them after an upgrade.
GUARDS: tuple[Guard, ...] = (
    attention_is_chosen_by_name,
    no_mask_is_made,
    a_mask_is_passed_on,
    keywords_are_passed_on,
    cache_layer_methods,
    cache_layers_are_ours,
    the_prefix_comes_from_the_cache,
    rotations_compose,
    recurrent_state_names,
)


class _Recorder(DynamicLayer):
    """Notes the shapes of what it gets."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[Any, Any]] = []

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        self.seen.append((tuple(key_states.shape), tuple(value_states.shape)))
        return key_states, value_states


def _text_model() -> Any:
    """A decoder of two tiny layers, with one head of 8 for keys and values."""
    config = transformers.Qwen2Config(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    with torch.random.fork_rng(devices=[]):
        return transformers.Qwen2Model(config).eval().requires_grad_(False)


def _attention_sees(mask: Tensor | None) -> Tensor | None:
    """The mask that a registered attention function gets for two tokens behind three cached ones."""
    seen: list[Tensor | None] = []

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, given: Tensor | None, **_: Any
    ) -> tuple[Tensor, None]:
        seen.append(given)
        return query.transpose(1, 2), None

    transformers.AttentionInterface.register(_NAME, attend)
    model = _text_model()
    model.config._attn_implementation = _NAME
    cache = Cache(layers=[DynamicLayer() for _ in range(2)])
    for tokens, given in ((3, None), (2, mask)):
        model(
            inputs_embeds=torch.zeros(1, tokens, 16),
            position_ids=torch.arange(tokens)[None],
            attention_mask=given,
            **{cache_keyword(model): cache},
        )
    if len(seen) != 4 or seen[2] is not seen[3]:
        raise ValueError("the attention function is not called once per layer with one mask")
    return seen[2]
