"""Local models behind the `Backend` interface."""

from __future__ import annotations

from functools import lru_cache

import torch

from dsb.config.schema import CacheConfig, ModelConfig
from dsb.errors import ModelError
from dsb.models.backend import BackendKind, Counters, StreamSpec
from dsb.models.local.checkpoint.load import Checkpoint, load_checkpoint
from dsb.models.local.conversation import LocalConversation
from dsb.models.local.engine.choose_prefill import PrefillFactory
from dsb.models.local.engine.failures import typed_failures
from dsb.models.local.engine.forward import Forward
from dsb.models.local.engine.grammar import grammars_of
from dsb.models.local.engine.shared import Session
from dsb.models.local.identify import identify_local
from dsb.models.local.vision.patch import EncodedPatch


def open_local(model: ModelConfig, cache: CacheConfig) -> LocalBackend:
    """Load a checkpoint of the families that `model.backend` runs. Raises `ModelError`."""
    return LocalBackend(model, cache)


class LocalBackend:
    """One checkpoint in this process."""

    def __init__(
        self, model: ModelConfig, cache: CacheConfig, checkpoint: Checkpoint | None = None
    ) -> None:
        """Load the checkpoint, unless it is given: backends may share one, compiled or not, and reuse differently.

        Raises:
            ModelError: it cannot be found, loaded or compiled.
        """
        checkpoint = checkpoint or load_checkpoint(model)
        self.family, self.chat = checkpoint.family, checkpoint.chat
        self._grammars = grammars_of(self.family)
        self._prefills = PrefillFactory(Forward(self.family, checkpoint.step), self.chat, cache)
        self._sessions: dict[str, Session] = {}
        self._black = lru_cache(8)(self._encode_black)

    def frame_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        """The size that the checkpoint's own rules give to frames of `source_size` (width, height)."""
        return self.family.frame_size(source_size)

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether frames of `size` (width, height) are whole cells of the model, or it scales them itself."""
        try:
            self.family.grid(size)
        except ModelError:
            return False
        return True

    def open(self, spec: StreamSpec) -> LocalConversation:
        """Start watching; conversations of one session share encoded frames.

        Raises:
            ModelError: the frames have a size that the model cannot take, or a window does not fit into its budget.
            OutOfMemory: the device has not enough memory for the window.
        """
        grid = self.family.grid(spec.size)
        session = self._sessions.get(spec.session)
        if session is None or session.conversations == 0:
            session = Session()
        with typed_failures(f"opening a conversation of {spec.system}"), torch.inference_mode():
            prefill = self._prefills.make(spec, grid, session, self._black(spec.size))
        session.conversations += 1
        self._sessions[spec.session] = session
        return LocalConversation(
            self.family, self.chat, grid, spec, prefill, session, self._grammars
        )

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

    def _encode_black(self, size: tuple[int, int]) -> EncodedPatch:
        """One temporal patch without light: what a system sees that is shown nothing."""
        width, height = size
        dark = torch.zeros((self.family.span, height, width, 3), dtype=torch.uint8)
        return EncodedPatch(0, 0.0, self.family.encode(dark).to(self.family.device))


#: All families that run in this process.
LOCAL = BackendKind(open_local, identify_local)
