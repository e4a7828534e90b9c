"""Small forwards of the language model as one compiled function (`model.compile`).

A poll or a decoded token is a forward of few tokens, and most of its time goes to launching hundreds of small
operations. `torch.compile` fuses what lies between the matrix products; on a GPU it also records everything as CUDA
graphs. That asks for shapes which repeat and for memory that stays in place:

- tokens are padded to 1 or a multiple of 8, behind the real ones, where nothing real sees them;
- keys and values go to slot numbers in a tensor, and attention reads a view of the arena whose length grows in
  coarse steps, under an explicit mask; slots that were never written are zeroed, since 0 * NaN is NaN.

Writing and attending are one operator of our own, so the compiler neither copies the arena nor sees its ledger. The
kernels inside are those of the forward that is not compiled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from dsb.errors import ModelError
from dsb.models.local.engine.arena import SCRATCH, Arena, Share
from dsb.models.local.engine.failures import typed_failures
from dsb.models.local.families.family import Family
from dsb.models.local.families.tokens import Tokens

#: Larger forwards are bound by arithmetic, which no compiler makes less.
_MOST_TOKENS = 64
#: Lengths of padded forwards above 1 are multiples of this, lengths of views multiples of `_COLUMNS` or more.
_ROWS, _COLUMNS = 8, 64
_OFF = "set model.compile=false"

#: (embeds, positions, slots, mask, block) -> last hidden states, all with a batch of one.
_Function = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class CompiledStep:
    """The language model of a family, compiled for forwards of up to 64 tokens."""

    def __init__(self, family: Family, *, compiler: str | Callable[..., Any] = "inductor") -> None:
        """Compiles now, with all shapes that will come, so that no answer waits for it.

        `compiler` is a backend of `torch.compile`.

        Raises:
            ModelError: the model cannot be compiled, in principle or here.
        """
        self._family = family
        self._device = family.device
        arena = Arena(family.model, 1 << 30, family.dtype)
        self._check(arena)
        # What `mode="reduce-overhead"` stands for.
        graphs = {"triton.cudagraphs": True} if self._device.type == "cuda" else {}
        self._run = cast(
            _Function,
            torch.compile(
                _function(family), backend=compiler, fullgraph=True, options={**graphs} or None
            ),
        )
        begun = time.perf_counter()
        with typed_failures("compiling the model"), torch.inference_mode():
            for count in (1, _ROWS):
                self._try(arena, count)
        #: What compiling took.
        self.seconds = time.perf_counter() - begun

    def takes(self, tokens: Tokens, arena: Arena) -> bool:
        """Whether this forward, for which `arena` has made room, is a small one.

        What is added inside of the first layers (deepstack) makes no small forward, nor does the last page of an
        arena that is full.
        """
        count = len(tokens)
        fits = arena.prefix + _rows(count) <= arena.capacity
        return count <= _MOST_TOKENS and tokens.deep is None and fits

    def hidden(self, tokens: Tokens, arena: Arena, mask: Tensor | None) -> Tensor:
        """As `Family.hidden`: last hidden states (n, width); keys and values go to the slots that `arena` writes."""
        count, start = len(tokens), arena.prefix
        rows = _rows(count)
        columns = _columns(start + rows, arena.capacity)
        slots = torch.arange(start, start + rows, device=self._device)
        sees = torch.arange(columns, device=self._device) <= slots[:, None]
        if mask is not None:
            sees[:count, : mask.shape[1]] = mask
        embeds = pad(tokens.embeds, (0, 0, 0, rows - count))[None]
        positions = pad(tokens.positions, (0, rows - count))
        if self._family.axes > 1:
            positions = positions[:, None]
        block = arena.block(columns)
        for tensor, axes in ((embeds, (1,)), (positions, (-1,)), (slots, (0,)), (block, (3,))):
            _vary(tensor, *axes)
        sees = _vary(sees[None, None], 2, 3)
        torch._dynamo.mark_static_address(block, guard=False)
        # The next run of a CUDA graph writes over what this one returns.
        return self._run(embeds, positions, slots, sees, block)[0, :count].clone()

    def _check(self, arena: Arena) -> None:
        if arena.recurrent is not None:
            raise ModelError(
                f"model.compile: this model keeps a recurrent state beside keys and values; {_OFF}"
            )
        if getattr(self._family.model, "hf_quantizer", None) is not None:
            raise ModelError(f"model.compile does not go with quantised weights; {_OFF}")
        if arena.spread:
            raise ModelError(
                f"model.compile does not go with a model that device_map spreads over several devices; {_OFF}"
            )

    def _try(self, arena: Arena, count: int) -> None:
        """One forward of `count` tokens that leaves nothing."""
        family = self._family
        embeds = torch.zeros((count, family.width), dtype=family.dtype, device=self._device)
        try:
            with arena.trial():
                arena.extend([Share(SCRATCH, count)])
                self.hidden(Tokens(embeds, family.line(0, count)), arena, None)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join([line for line in str(error).splitlines() if line.strip()][:2])
            raise ModelError(
                f"model.compile: torch.compile fails on this model or machine ({type(error).__name__}: {reason}); "
                f"{_compiler(self._device)}{_OFF}"
            ) from error


def _rows(count: int) -> int:
    return 1 if count == 1 else -(-count // _ROWS) * _ROWS


def _columns(needed: int, capacity: int) -> int:
    """Length of the view for `needed` slots: four to eight lengths between two powers of two."""
    step = max(_COLUMNS, 1 << max(0, (needed - 1).bit_length() - 3))
    return min(-(-needed // step) * step, capacity)


def _vary(tensor: Tensor, *axes: int) -> Tensor:
    """Say that these lengths change from call to call; a length of 1 is a case of its own."""
    for axis in axes:
        torch._dynamo.maybe_mark_dynamic(tensor, axis % tensor.dim())
    return tensor


def _compiler(device: torch.device) -> str:
    return "install a C++ compiler (g++ or clang++), or " if device.type == "cpu" else ""


def _function(family: Family) -> _Function:
    """The language model over an arena, as a function of tensors alone."""
    model = family.model.model.language_model

    def step(
        embeds: Tensor, positions: Tensor, slots: Tensor, mask: Tensor, block: Tensor
    ) -> Tensor:
        output: Tensor = model(
            inputs_embeds=embeds,
            position_ids=positions,
            attention_mask=mask,
            use_cache=False,
            arena_slots=slots,
            arena_block=block,
        ).last_hidden_state
        return output

    # torch keeps few graphs per code object, so every model gets a copy of its own.
    code = step.__code__.replace()
    return cast(_Function, FunctionType(code, globals(), step.__name__, None, step.__closure__))
