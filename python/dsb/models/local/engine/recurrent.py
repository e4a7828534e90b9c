"""The recurrent state of hybrid models, whose linear-attention layers keep no keys and values.

Such a layer folds every token into a state of fixed size. Tokens cannot be taken out of it again, so a rollback
needs a copy from before, and frames cannot leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.cache_utils import LinearAttentionLayer

from dsb.errors import ModelError

_FULL, _LINEAR = "full_attention", "linear_attention"


def linear_layers(config: Any) -> tuple[int, ...]:
    """Indices of the linear-attention layers of a text `config`; none for an ordinary decoder.

    Raises:
        ModelError: a layer is neither of these nor full attention.
    """
    kinds = getattr(config, "layer_types", None) or []
    strange = set(kinds) - {_FULL, _LINEAR}
    if strange:
        raise ModelError(
            f"the language model {config.model_type!r} has layers of type {', '.join(sorted(strange))}; "
            f"the engine runs {_FULL} and {_LINEAR}"
        )
    return tuple(index for index, kind in enumerate(kinds) if kind == _LINEAR)


#: Per layer and per state of the layer; `None` before the first token.
States = tuple[tuple[Tensor | None, ...], ...]


@dataclass(frozen=True)
class Snapshot:
    """The state of all linear-attention layers at one moment; nothing that runs later changes it."""

    #: The last inputs of the convolutions, (1, channels, kernel).
    conv: States
    #: What was folded together, (1, heads, key, value).
    recurrent: States

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        states = [each for layer in (*self.conv, *self.recurrent) for each in layer]
        return sum(each.nbytes for each in states if each is not None)


class RecurrentState:
    """The linear-attention layers of one sequence, as a transformers `Cache` wants them."""

    def __init__(self, config: Any) -> None:
        """Empty, for a text `config`.

        Raises:
            ModelError: see `linear_layers`.
        """
        count = getattr(config, "number_of_conv_states", 1)
        #: Layer index -> what stands at this place in `Cache.layers`.
        self.layers: Mapping[int, LinearAttentionLayer] = {
            index: LinearAttentionLayer(number_of_states=count) for index in linear_layers(config)
        }

    def reset(self) -> None:
        """Back to before the first token."""
        for layer in self.layers.values():
            layer.reset()

    def snapshot(self) -> Snapshot:
        """A copy of the state as it is now."""
        layers = self.layers.values()
        return Snapshot(
            tuple(_copies(layer, layer.conv_states) for layer in layers),
            tuple(_copies(layer, layer.recurrent_states) for layer in layers),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to exactly the state of `snapshot`, any number of times.

        Tensors stay where they are in memory, because a CUDA graph may have recorded their addresses.
        """
        parts = zip(self.layers.values(), snapshot.conv, snapshot.recurrent, strict=True)
        for layer, conv, recurrent in parts:
            layer.reset()
            _put_back(layer.conv_states, conv)
            _put_back(layer.recurrent_states, recurrent)
            for index, then in enumerate(conv):
                layer.has_previous_state[index] = then is not None


def _put_back(states: Mapping[int, Tensor | None], saved: Sequence[Tensor | None]) -> None:
    for now, then in zip(states.values(), saved, strict=True):
        if now is not None and then is not None:
            now.copy_(then)


def _copies(
    layer: LinearAttentionLayer, states: Mapping[int, Tensor | None]
) -> tuple[Tensor | None, ...]:
    # After a reset the tensors are still there, zeroed, but count for nothing.
    return tuple(
        None if each is None or not layer.has_previous_state[index] else each.clone()
        for index, each in states.items()
    )
