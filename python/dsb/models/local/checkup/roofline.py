"""How long a model needs at least: the roofline of a device.

A forward takes the longer of two times: its floating-point operations at a share of the device's peak (MFU), and the
bytes that it must read at the device's bandwidth (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009).
What a library adds per forward (launching kernels, Python) comes on top: these are floors, not forecasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsb.models.local.checkup.footprint import Parameters, attention_layers, kv_bytes_per_token
from dsb.models.local.engine.arena import head_width

#: Shares of the peak that large matrix products reach in practice: language model, vision tower.
LANGUAGE_MFU = 0.5
VISION_MFU = 0.4


@dataclass(frozen=True)
class Speed:
    """What a device can do."""

    #: Floating-point operations per second in the precision of the model, dense.
    flops: float
    #: Bytes per second from its memory.
    bandwidth: float

    def seconds(self, flops: float, read: float, mfu: float) -> float:
        """The floor of one forward: `flops` operations at `mfu` of the peak, or `read` bytes."""
        return max(flops / (self.flops * mfu), read / self.bandwidth)


def product_flops(weights: int, rows: int) -> int:
    """Matrix products of `rows` vectors with `weights` numbers: a multiplication and an addition each."""
    return 2 * weights * rows


def attention_flops(layers: int, width: int, new: int, before: int) -> int:
    """Causal attention of `new` tokens behind `before` others; `width` is heads x head width.

    QK and the sum over V take 2 x width operations each for every pair of a token and one that it sees.
    """
    return 4 * layers * width * (new * before + new * (new + 1) // 2)


def language_flops(text: Any, parameters: Parameters, new: int, before: int) -> int:
    """The layers of the language model on `new` tokens behind `before` cached ones; no output scores."""
    width = text.num_attention_heads * head_width(text)
    return product_flops(parameters.active, new) + attention_flops(
        attention_layers(text), width, new, before
    )


def vision_flops(vision: Any, parameters: Parameters, rows: int, images: int, tokens: int) -> int:
    """The vision tower on `rows` patches that attend within each of `images`, and the projector on `tokens`.

    Qwen2.5-VL's tower attends within windows of `window_size` pixels, except in `fullatt_block_indexes`.
    """
    layers = int(getattr(vision, "depth", None) or vision.num_hidden_layers)
    width = int(getattr(vision, "embed_dim", None) or vision.hidden_size)
    reach = rows / images
    window = getattr(vision, "window_size", None)
    full = layers if not window else len(vision.fullatt_block_indexes)
    pairs = full * rows * reach
    if window:
        pairs += (layers - full) * rows * min(reach, (window // vision.patch_size) ** 2)
    products = product_flops(parameters.tower, rows) + product_flops(parameters.projector, tokens)
    return products + int(4 * width * pairs)


@dataclass(frozen=True)
class Floors:
    """Wall time at least, in seconds."""

    #: Encoding one temporal patch.
    encode_s: float
    #: Prefilling one temporal patch, the first one and one behind a full context.
    prefill_first_s: float
    prefill_s: float
    #: From a question to its first token, everything else cached.
    ttft_s: float
    #: One more token.
    decode_s: float


@dataclass(frozen=True)
class Work:
    """What one stream asks of a model."""

    text: Any
    vision: Any
    parameters: Parameters
    #: Bytes of one number of activations, keys and values.
    itemsize: int
    #: Bytes of the language model that a forward reads.
    read_bytes: int
    #: Visual tokens and text around them of one temporal patch.
    patch_tokens: int
    #: Rows of the vision tower for one temporal patch, and images among which they attend.
    vision_rows: int
    vision_images: int
    #: Tokens of a full context, and of a question.
    context: int
    question: int

    def floors(self, speed: Speed) -> Floors:
        """The floors on a device."""
        tower = self.parameters.tower + self.parameters.projector
        encode = speed.seconds(
            vision_flops(
                self.vision,
                self.parameters,
                self.vision_rows,
                self.vision_images,
                self.patch_tokens,
            ),
            tower * self.itemsize,
            VISION_MFU,
        )
        return Floors(
            encode,
            self._forward(speed, self.patch_tokens, 0),
            self._forward(speed, self.patch_tokens, self.context),
            self._forward(speed, self.question, self.context),
            self._forward(speed, 1, self.context),
        )

    def _forward(self, speed: Speed, new: int, context: int) -> float:
        flops = language_flops(self.text, self.parameters, new, context)
        cached = context * kv_bytes_per_token(self.text, self.itemsize)
        return speed.seconds(flops, self.read_bytes + cached, LANGUAGE_MFU)
