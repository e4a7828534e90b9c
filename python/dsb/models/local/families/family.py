"""What a model family must say, so that one engine can run all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dsb.errors import ModelError
from dsb.models.local.families.cache_keyword import cache_keyword
from dsb.models.local.families.tokens import Clock, Cursor, PatchGrid, Tokens

PromptRule = Literal["reference", "hf"]


class Family(ABC):
    """One loaded checkpoint, seen through its family's rules.

    The defaults are those of a family with one frame per temporal patch, ordinary rotary positions and no text
    around its patches.
    """

    #: Frames per temporal patch.
    span: ClassVar[int] = 1
    #: Axes of the rotary position embedding.
    axes: ClassVar[int] = 1
    #: Frames can leave the KV cache again. Not so where layers keep a recurrent state.
    evicts: ClassVar[bool] = True
    #: What the chat template calls the thing that patches stand for.
    medium: ClassVar[Literal["video", "image"]] = "video"

    def __init__(
        self, model: Any, tokenizer: Any, processor: Mapping[str, Any], rule: PromptRule
    ) -> None:
        """`processor` is the content of the checkpoint's preprocessor file.

        Raises:
            ModelError: the checkpoint is not one of this family.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.processor = processor
        #: Where the maker's code and transformers differ: whom the prompt follows.
        self.rule = rule
        embedding = model.get_input_embeddings().weight
        self.device: torch.device = embedding.device
        self.dtype: torch.dtype = embedding.dtype
        #: Length of an embedding vector.
        self.width: int = embedding.shape[1]
        #: What the text tower calls a cache.
        self.cache_keyword = cache_keyword(model.model.language_model)
        #: Ids that end a turn.
        self.stop_ids: frozenset[int] = _stop_ids(model, tokenizer)

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
    def pixels(self, frames: Tensor) -> Tensor:
        """What the vision tower takes, float32 on the model's device, from (span, H, W, 3) uint8."""

    @abstractmethod
    def encode(self, frames: Tensor) -> Tensor:
        """Embeddings (1 + depth, tokens, width) of one temporal patch from (span, H, W, 3) uint8.

        A patch is always encoded alone, so its bits do not depend on what else was encoded.
        """

    @property
    def depth(self) -> int:
        """How many of the first layers add something of their own at visual tokens (Qwen3-VL's deepstack)."""
        return 0

    # -- text --------------------------------------------------------------------------------------

    @property
    def pad(self) -> str:
        """The token that stands for one visual token in a checkpoint's own text."""
        config = self.model.config
        name = "video_token_id" if self.medium == "video" else "image_token_id"
        token: str = self.tokenizer.convert_ids_to_tokens(getattr(config, name))
        return token

    @property
    def placeholder(self) -> str:
        """What the chat template writes where all patches go."""
        return self.pad

    def before(self, index: int, seconds: float) -> str:
        """Text in front of the patch `index` of a sequence, whose frames are at `seconds` of stream time on average.

        Together with what stands before it, it must be tokenised as if apart; `chat.self_test` proves that.
        """
        return ""

    @property
    def after(self) -> str:
        """Text behind each patch; under the same condition as `before`."""
        return ""

    def closing(self) -> Tensor:
        """Embeddings (n, width) between the last patch and the text of a question."""
        return torch.empty((0, self.width), dtype=self.dtype, device=self.device)

    # -- positions ---------------------------------------------------------------------------------

    def place(self, cursor: Cursor, index: int, clock: Clock) -> tuple[Tensor, Cursor]:
        """RoPE positions (axes, tokens) of the visual tokens of patch `index`, and the cursor behind them."""
        tokens = clock.grid.tokens
        return self.line(cursor.next, tokens), Cursor(cursor.next + tokens, cursor.origin)

    def line(self, start: int, count: int) -> Tensor:
        """RoPE positions (axes, count) of text."""
        places = torch.arange(start, start + count, device=self.device)
        return places.expand(self.axes, count)

    # -- language model ----------------------------------------------------------------------------

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Embeddings (len(ids), width) of text tokens."""
        vectors: Tensor = self.model.get_input_embeddings()(
            torch.tensor(ids, dtype=torch.long, device=self.device)
        )
        return vectors

    def text(self, ids: Sequence[int], cursor: Cursor) -> tuple[Tokens, Cursor]:
        """Text at the cursor, and the cursor behind it."""
        tokens = Tokens(self.embed(ids), self.line(cursor.next, len(ids)))
        return tokens, Cursor(cursor.next + len(ids), cursor.origin)

    def hidden(self, tokens: Tokens, cache: Any, mask: Tensor | None) -> Tensor:
        """Last hidden states (n, width).

        `cache` grows by n tokens. `mask` is (n, cached + n), boolean, true where a token sees; `None` is causal.
        Everything that the stock model would otherwise derive from its own state is passed in.
        """
        deep = {}
        if tokens.deep is not None:
            deep = {
                "visual_pos_masks": torch.ones(
                    (1, len(tokens)), dtype=torch.bool, device=self.device
                ),
                "deepstack_visual_embeds": list(tokens.deep),
            }
        output: Tensor = self.model.model.language_model(
            inputs_embeds=tokens.embeds[None],
            position_ids=tokens.positions[:, None] if self.axes > 1 else tokens.positions,
            attention_mask=None if mask is None else mask[None, None],
            use_cache=True,
            **{self.cache_keyword: cache},
            **deep,
        ).last_hidden_state
        # With weights on several devices, the last layer is elsewhere; on one this is nothing.
        return output[0].to(self.device)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (n, vocabulary) of the next token, in float32."""
        scores: Tensor = self.model.lm_head(hidden)
        return scores.float().to(self.device)

    def refuse_size(self, size: tuple[int, int], needs: str, near: tuple[int, int]) -> ModelError:
        """The error for frames of a `size` that the model cannot take; `near` is one that it can."""
        return ModelError(
            f"the model cannot take frames of {size[0]}x{size[1]} pixels: {needs}; "
            f"set video.width={near[0]} and video.height={near[1]}, or leave both out"
        )


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ids = [configured] if isinstance(configured, int) else list(configured or [])
    if tokenizer.eos_token_id is not None:
        ids.append(tokenizer.eos_token_id)
    return frozenset(ids)
