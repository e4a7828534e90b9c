"""The vision tower in training: patches, a batched forward pass, labels, augmentation and loss.

Stage A has no heads of its own. A visual token is read by the fixed word vectors, so the tower must
write the words `red`, `star`, `top-left`, `gray` into it with equal strength: no learned head can
enlarge a feature that the tower left small, and the language model meets known words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name that every reader of torch code expects)

from dsb.benchmarks.synth.world import BACKGROUND_NAMES, CELLS, COLOR_NAMES, DIGITS, SHAPES
from dsb.models.tiny.architecture import MERGE_SIZE, PATCH_SIZE
from dsb.models.tiny.vocabulary import NO_CELL_ID, NO_KIND_ID, ids_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from dsb.benchmarks.synth.world import Stream

#: What a visual token must say -> the ids it may answer with. Id 0 of `kind` and `cell` is "empty".
READINGS: dict[str, list[int]] = {
    "kind": [NO_KIND_ID, *ids_of([*SHAPES, *DIGITS])],
    "color": ids_of(COLOR_NAMES),
    "bg": ids_of(BACKGROUND_NAMES),
    "cell": [NO_CELL_ID, *ids_of(CELLS)],
}
_KIND_LABEL = {kind: i + 1 for i, kind in enumerate([*SHAPES, *DIGITS])}

#: Logits are `LOGIT_GAIN * token . word`; word vectors have length 1.
LOGIT_GAIN = 3.0

# Row and column of the 16 patches of a unit, in the order of the family: merge groups of 2x2 first.
_PATCH_ROW = (0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3)
_PATCH_COLUMN = (0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 2, 3)


def patchify(frames: npt.NDArray[np.uint8]) -> Tensor:
    """Return the patches of (2n, 56, 56, 3) uint8 frames as (n, 16, 1176) float32 in [-1, 1].

    Equal to the stock video processor with mean and deviation 0.5 and no resizing.
    """
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    x = x.div_(127.5).sub_(1)
    count, channels, height, width = x.shape
    units, rows, columns = count // 2, height // PATCH_SIZE, width // PATCH_SIZE
    x = x.reshape(
        units,
        2,
        channels,
        rows // MERGE_SIZE,
        MERGE_SIZE,
        PATCH_SIZE,
        columns // MERGE_SIZE,
        MERGE_SIZE,
        PATCH_SIZE,
    ).permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return x.reshape(units, rows * columns, channels * 2 * PATCH_SIZE * PATCH_SIZE)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def encode_units(tower: Any, patches: Tensor) -> Tensor:
    """Return the visual tokens (n, 4, D) of n units from patches (n, 16, 1176).

    The same function as the stock `visual`, which splits its attention per unit in a Python loop;
    here the units are a batch. A test holds the two together.
    """
    units, length, _ = patches.shape
    x = F.linear(patches, tower.patch_embed.proj.weight.flatten(1))
    frequencies = tower.rotary_pos_emb.inv_freq
    angles = torch.cat(
        [
            torch.tensor(_PATCH_ROW)[:, None] * frequencies,
            torch.tensor(_PATCH_COLUMN)[:, None] * frequencies,
        ],
        -1,
    )
    angles = torch.cat([angles, angles], -1)
    cos, sin = angles.cos(), angles.sin()
    for block in tower.blocks:
        attention = block.attn
        qkv = attention.qkv(block.norm1(x)).view(units, length, 3, attention.num_heads, -1)
        q, k, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(
            _rotate(q, cos, sin).to(value.dtype), _rotate(k, cos, sin).to(value.dtype), value
        )
        x = x + attention.proj(mixed.transpose(1, 2).reshape(units, length, -1))
        x = x + block.mlp(block.norm2(x))
    tokens: Tensor = tower.merger(x).view(units, length // 4, -1)
    return tokens


def token_labels(
    stream: Stream, times_s: Sequence[float] | npt.NDArray[np.float64]
) -> dict[str, Tensor]:
    """Return what the four tokens of a unit whose last frame is at `times_s` must say.

    Each value is (n, 4) int64: an index into `READINGS`; colour is -1 where no coloured object is.
    """
    shape = (len(times_s), 4)
    kind, background = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    color = np.full(shape, -1, np.int64)
    for i, t in enumerate(times_s):
        background[i] = BACKGROUND_NAMES.index(stream.background(t))
        for episode in stream.active(t):
            kind[i, episode.cell] = _KIND_LABEL[episode.kind]
            if not episode.is_digit:
                color[i, episode.cell] = COLOR_NAMES.index(episode.color)
    cell = np.where(kind > 0, np.arange(4) + 1, 0)
    named = zip(READINGS, (kind, color, background, cell), strict=True)
    return {name: torch.from_numpy(label) for name, label in named}


def reading_loss(
    tokens: Tensor, words: Tensor, labels: dict[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """Return the summed cross-entropy of all readings, and their accuracy on occupied cells.

    Args:
        tokens: (n, 4, D) visual tokens.
        words: (128, D) fixed word vectors.
        labels: as from `token_labels`; -1 is ignored.
    """
    loss = torch.zeros(())
    accuracy = {}
    for name, ids in READINGS.items():
        target = labels[name]
        known = target >= 0
        logits = LOGIT_GAIN * (tokens[known].float() @ words[ids].T)
        loss = loss + F.cross_entropy(logits, target[known])
        occupied = (labels["kind"] > 0)[known]
        accuracy[name] = (logits.argmax(-1) == target[known])[occupied].float().mean().item()
    return loss, accuracy


def augment(frames: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return frames (n, 56, 56, 3) as a codec might deliver them: light, chroma, blur, noise."""
    if rng.random() < 0.35:
        return frames
    x = frames.astype(np.float32)
    if rng.random() < 0.5:
        x = (x - 128) * rng.uniform(0.9, 1.1) + 128 + rng.uniform(-10, 10)
    if rng.random() < 0.4:  # chroma at half resolution, as in 4:2:0
        luma = x.mean(-1, keepdims=True)
        chroma = x - luma
        blocks = chroma.reshape(len(x), 28, 2, 28, 2, 3).mean((2, 4))
        x = luma + blocks.repeat(2, 1).repeat(2, 2)
    if rng.random() < 0.4:
        a = rng.uniform(0.1, 0.25)
        x = (1 - 2 * a) * x + a * np.roll(x, 1, 1) + a * np.roll(x, -1, 1)
        x = (1 - 2 * a) * x + a * np.roll(x, 1, 2) + a * np.roll(x, -1, 2)
    if rng.random() < 0.6:
        x = x + rng.standard_normal(x.shape, np.float32) * rng.uniform(1, 8)
    clipped: npt.NDArray[np.uint8] = np.clip(x, 0, 255).astype(np.uint8)
    return clipped
