"""Text encoders of the memory: sentences to unit vectors."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")


class Encoder(Protocol):
    """Sentences to vectors whose dot product is their similarity."""

    name: str
    dimension: int

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`(len(texts), dimension) float32`, rows of norm 1 (0 for a text without a word)."""


class HashEncoder:
    """Hashed words, word pairs and character trigrams; needs no weights and is equal on every machine.

    Signed feature hashing (Weinberger et al., 0902.2206) with CRC-32, square-root term frequency.
    """

    name = "hash"

    def __init__(self, dimension: int = 2048) -> None:
        self.dimension = dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder.encode`."""
        out = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(out, texts, strict=True):
            for feature, weight in _features(text):
                code = zlib.crc32(feature.encode())
                row[code % self.dimension] += weight if code & 0x80000000 else -weight
        np.copyto(out, np.sign(out) * np.sqrt(np.abs(out)))
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        np.divide(out, norms, out=out, where=norms > 0)
        return out


def _features(text: str) -> Iterator[tuple[str, float]]:
    words = _WORD.findall(text.lower())
    for word in words:
        yield f"w:{word}", 1.0
        padded = f" {word} "
        for at in range(len(padded) - 2):
            yield f"c:{padded[at : at + 3]}", 0.3
    for left, right in itertools.pairwise(words):
        yield f"p:{left} {right}", 0.5


def hash_encoder() -> Encoder:
    """The dependency-free default."""
    return HashEncoder()
