"""Local models behind the `Backend` interface."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cached_property, lru_cache

import torch
import transformers

from dsb.config.schema import CacheConfig, ModelConfig
from dsb.errors import ModelError
from dsb.models.backend import Counters, StreamSpec
from dsb.models.local.conversation import LocalConversation, Session
from dsb.models.local.failures import typed_failures
from dsb.models.local.family import PatchGrid
from dsb.models.local.load import load_family, settings_digest, weights_digest
from dsb.models.local.visual import (
    EncodeEachTime,
    EncodeOnce,
    Encoder,
    EncodeSampled,
    Seen,
    Sight,
    patches_needed,
    record_bytes,
)


def open_qwen(model: ModelConfig, cache: CacheConfig) -> LocalBackend:
    """Load a Qwen2-VL or Qwen2.5-VL checkpoint. Raises `ModelError`."""
    return LocalBackend(model, cache)


class LocalBackend:
    """One checkpoint in this process."""

    def __init__(self, model: ModelConfig, cache: CacheConfig) -> None:
        """Load the checkpoint.

        Raises:
            ModelError: it cannot be found or loaded.
        """
        self._model = model
        self._cache = cache
        self.family, self._folder = load_family(model)
        self._sessions: dict[str, Session] = {}
        self._black = lru_cache(8)(self._encode_black)

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """Family, checkpoint, precision, device and the libraries that computed."""
        return self._description

    @cached_property
    def _description(self) -> Mapping[str, str | int | float | bool]:
        config = self.family.model.config
        return {
            "backend": self._model.backend,
            "family": config.model_type,
            "path": self._model.path,
            "weights_sha256": weights_digest(self._folder),
            "settings_sha256": settings_digest(self._folder),
            "parameters": sum(each.numel() for each in self.family.model.parameters()),
            "dtype": str(self.family.dtype).removeprefix("torch."),
            "device": str(self.family.device),
            "reuse": self._cache.reuse,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        }

    def frame_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        """The size that the checkpoint's own rules give to frames of `source_size` (width, height)."""
        return self.family.frame_size(source_size)

    def open(self, spec: StreamSpec) -> LocalConversation:
        """Start watching; conversations of one session share encoded frames (`reuse: embed`).

        Raises:
            ModelError: the frames have a size that the model cannot take, or the window does not fit into
                `visual_bytes`.
        """
        grid = self.family.grid(spec.size)
        session = self._sessions.get(spec.session)
        if session is None or session.conversations == 0:
            session = Session()
        sight = None if spec.window is None else self._sight(spec, grid, session)
        with typed_failures("encoding a black frame"):
            black = self._black(spec.size)
        session.conversations += 1
        self._sessions[spec.session] = session
        return LocalConversation(self.family, grid, spec, sight, black, session)

    def counters(self, session: str) -> Counters:
        """What was done for `session`. After its last conversation is closed they can be read once.

        Raises:
            ModelError: no such session.
        """
        try:
            state = self._sessions[session]
        except KeyError:
            raise ModelError(f"no conversation of session {session!r} was opened here") from None
        if state.conversations == 0:
            del self._sessions[session]
        return state.counters

    def _sight(self, spec: StreamSpec, grid: PatchGrid, session: Session) -> Sight:
        if spec.window is None:
            raise ValueError("the blind control has no window")
        encoder = Encoder(self.family, session.counters)
        if spec.window.rate is not None:
            return EncodeSampled(encoder)
        if self._cache.reuse == "none":
            return EncodeEachTime(encoder)
        patches = patches_needed(spec.window, spec.fps, self.family.span)
        need = patches * record_bytes(self.family, grid.tokens)
        if need > self._cache.visual_bytes:
            raise ModelError(
                f"the window of {spec.system} needs {need} bytes of encoded frames, but "
                f"system.streaming_embed_cache.visual_bytes is {self._cache.visual_bytes}; raise it, or lower "
                f"system.{spec.system}.window.max_frames"
            )
        if spec.size not in session.caches:
            session.caches[spec.size] = EncodeOnce(encoder, grid.tokens, holes=spec.holes)
        session.caches[spec.size].reserve(patches)
        return session.caches[spec.size]

    def _encode_black(self, size: tuple[int, int]) -> Seen:
        """One temporal patch without light: what a system sees that is shown nothing."""
        width, height = size
        dark = torch.zeros((self.family.span, height, width, 3), dtype=torch.uint8)
        with torch.inference_mode():
            return Seen(self.family.encode(dark), 1, None, None)
