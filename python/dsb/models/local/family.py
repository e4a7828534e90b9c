"""What a model family must say, so that one engine can run all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import torch
from torch import Tensor

from dsb.models.local.chat import ChatFormat


@dataclass(frozen=True)
class PatchGrid:
    """Visual tokens of one temporal patch at one frame size."""

    height: int
    width: int

    @property
    def tokens(self) -> int:
        """Number of visual tokens."""
        return self.height * self.width


class Family(ABC):
    """One loaded checkpoint, seen through its family's rules."""

    #: Frames per temporal patch.
    span: ClassVar[int]

    def __init__(self, model: Any, chat: ChatFormat) -> None:
        self.model = model
        self.chat = chat
        embedding = model.get_input_embeddings().weight
        self.device: torch.device = embedding.device
        self.dtype: torch.dtype = embedding.dtype
        #: Length of an embedding vector.
        self.width: int = embedding.shape[1]
        #: Ids that end a turn.
        self.stop_ids: frozenset[int] = _stop_ids(model, chat.tokenizer)

    # -- frames ------------------------------------------------------------------------------------

    @abstractmethod
    def frame_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        """Width and height at which the checkpoint wants to see frames of `source_size` (width, height)."""

    @abstractmethod
    def grid(self, size: tuple[int, int]) -> PatchGrid:
        """Visual tokens of one temporal patch of frames of `size` (width, height).

        Raises:
            ModelError: the model cannot take frames of this size.
        """

    @abstractmethod
    def encode(self, frames: Tensor) -> Tensor:
        """Embeddings (tokens, width) of one temporal patch from (span, H, W, 3) uint8, on the model's device.

        A patch is always encoded alone, so its bits do not depend on what else was encoded.
        """

    # -- tokens ------------------------------------------------------------------------------------

    @abstractmethod
    def visual_positions(
        self, start: int, patches: int, grid: PatchGrid, fps: Fraction
    ) -> tuple[Tensor, int]:
        """RoPE positions (axes, patches * tokens) of consecutive patches, and the position of the next text token.

        `start` is the position of the first visual token; the window's clock starts there.
        """

    def text_positions(self, start: int, count: int) -> Tensor:
        """RoPE positions (axes, count) of text."""
        line = torch.arange(start, start + count, device=self.device)
        return line.expand(self.axes, count)

    #: Axes of the rotary position embedding.
    axes: ClassVar[int] = 1

    def embed(self, ids: tuple[int, ...] | list[int]) -> Tensor:
        """Embeddings (len(ids), width) of text tokens."""
        vectors: Tensor = self.model.get_input_embeddings()(torch.tensor(ids, device=self.device))
        return vectors

    # -- language model ----------------------------------------------------------------------------

    def hidden(self, embeds: Tensor, positions: Tensor, cache: Any, mask: Tensor | None) -> Tensor:
        """Last hidden states (n, width) of (n, width) embeddings at (axes, n) positions.

        `cache` grows by n tokens. `mask` is additive, (n, cached + n) in the model's dtype; `None` is causal.
        Everything that the stock model would otherwise derive from its own state is passed in.
        """
        place = positions[:, None] if self.axes > 1 else positions
        output: Tensor = self.model.model.language_model(
            inputs_embeds=embeds[None],
            position_ids=place,
            past_key_values=cache,
            attention_mask=None if mask is None else mask[None, None],
            use_cache=True,
        ).last_hidden_state
        return output[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (n, vocabulary) of the next token, in float32."""
        scores: Tensor = self.model.lm_head(hidden)
        return scores.float()


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ids = [configured] if isinstance(configured, int) else list(configured or [])
    if tokenizer.eos_token_id is not None:
        ids.append(tokenizer.eos_token_id)
    return frozenset(ids)
