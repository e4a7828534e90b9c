"""How the context of a conversation is prefilled, and whether what it needs fits its budgets."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from dsb.config.schema import CacheConfig
from dsb.errors import ModelError, OutOfMemory
from dsb.models.backend import Message, StreamSpec
from dsb.models.local.engine.anchor import can_rotate
from dsb.models.local.engine.arena import Arena
from dsb.models.local.engine.context import Context
from dsb.models.local.engine.eviction import Residency
from dsb.models.local.engine.forward import Forward
from dsb.models.local.engine.free_bytes import free_bytes
from dsb.models.local.engine.prefill import Prefill
from dsb.models.local.engine.prefill_each_time import PrefillEachTime
from dsb.models.local.engine.prefill_once import BorrowPrefill, PrefillOnce
from dsb.models.local.engine.shared import Session
from dsb.models.local.families.chat import ChatFormat
from dsb.models.local.families.tokens import Clock, PatchGrid
from dsb.models.local.vision.encode_each_time import EncodeEachTime, EncodeSampled
from dsb.models.local.vision.encode_once import EncodeOnce
from dsb.models.local.vision.encoder import Encoder
from dsb.models.local.vision.patch import EncodedPatch
from dsb.models.local.vision.patch_store import record_bytes
from dsb.models.local.vision.window import PatchSource, patches_needed

#: Slots for questions and answers that an arena has from the beginning; longer ones make it grow.
_SCRATCH = 1024
#: A stream that is longer than this has longer texts around its patches.
_LONG = (99_999, 99_999.5)
_SECTION = "system.streaming_embed_cache"


class PrefillFactory:
    """Makes the prefills of one backend."""

    def __init__(self, forward: Forward, chat: ChatFormat, cache: CacheConfig) -> None:
        self._forward = forward
        self._family = forward.family
        self._chat = chat
        self._cache = cache

    def make(
        self, spec: StreamSpec, grid: PatchGrid, session: Session, black: EncodedPatch
    ) -> Prefill:
        """The prefill that `spec` and the configuration ask for.

        Raises:
            ModelError: it does not fit its budget, or the model or the other system does not allow it.
            OutOfMemory: there is no memory for its arena.
        """
        if spec.window is None:
            context = self._context(spec, grid, 1)
            return PrefillEachTime(context, None, None, black, session.counters, keep=False)
        kind = self._kind(spec)
        if kind == "view":
            return self._view(spec, session)
        if kind == "evict":
            return self._evict(spec, grid, session, black)
        fps = spec.fps if spec.window.rate is None else Fraction(*spec.window.rate)
        patches = patches_needed(spec.window, fps, self._family.span)
        context = self._context(spec, grid, patches)
        source = self._patch_source(spec, grid, session, patches)
        keep = self._cache.reuse == "kv" and spec.window.rate is None
        return PrefillEachTime(context, source, spec.window, black, session.counters, keep=keep)

    # -- what becomes of frames that leave ---------------------------------------------------------

    def _kind(self, spec: StreamSpec) -> Literal["again", "strict", "evict", "view"]:
        if self._cache.reuse != "kv" or (spec.window is not None and spec.window.rate is not None):
            return "again"
        if spec.kv == "auto":
            return "evict" if spec.system != "s1" and self._family.evicts else "strict"
        if spec.kv != "strict" and not self._family.evicts:
            raise ModelError(
                f"system.{spec.system}.window.kv={spec.kv}: this model keeps a recurrent state, which frames cannot "
                f"leave; set system.{spec.system}.window.kv=strict"
            )
        return spec.kv

    def _view(self, spec: StreamSpec, session: Session) -> Prefill:
        window, size = spec.window, spec.size
        if window is None:
            raise ValueError("a view needs a window")

        def lender() -> PrefillOnce:
            others = [
                own
                for (name, own_size), own in session.prefills.items()
                if name != spec.system and own_size == size
            ]
            if not others:
                raise ModelError(
                    f"system.{spec.system}.window.kv=view looks into the context of another system on the same "
                    "model and frames, and there is none; set system.s2.window.kv=evict and no model of its own, "
                    f"or system.{spec.system}.window.kv=strict"
                )
            if others[0].spec.max_frames < window.max_frames:
                raise ModelError(
                    f"system.{spec.system}.window.max_frames={window.max_frames} is more than the other system's "
                    f"{others[0].spec.max_frames}, whose context it looks into (window.kv=view)"
                )
            return others[0]

        return BorrowPrefill(window, lender)

    def _evict(
        self, spec: StreamSpec, grid: PatchGrid, session: Session, black: EncodedPatch
    ) -> Prefill:
        window, cache = spec.window, self._cache
        if window is None:
            raise ValueError("eviction needs a window")
        if cache.eviction != "oldest" and window.span_ns is not None:
            raise ModelError(
                f"{_SECTION}.eviction={cache.eviction} keeps frames of any age, but "
                f"system.{spec.system}.window.span_s is set; leave one of them out"
            )
        patches = patches_needed(window, spec.fps, self._family.span)
        if cache.context_tokens is not None:
            allowed = cache.context_tokens // grid.tokens - cache.sinks
            if allowed < 1:
                raise ModelError(
                    f"{_SECTION}.context_tokens={cache.context_tokens} holds no temporal patch beside {cache.sinks} "
                    f"sinks; a patch has {grid.tokens} tokens"
                )
            patches = min(patches, allowed)
        context = self._context(spec, grid, patches + cache.sinks + cache.prefill_stride - 1)
        prefill = PrefillOnce(
            context,
            self._chat.prompt((Message("user", "?"),)).head,
            self._visual_cache(spec, grid, session),
            window,
            black,
            session.counters,
            residency=Residency(
                patches, cache.eviction, seed=cache.eviction_seed, sinks=cache.sinks
            ),
            stride=cache.prefill_stride,
        )
        session.prefills[spec.system, spec.size] = prefill
        return prefill

    # -- memory ------------------------------------------------------------------------------------

    def _patch_source(
        self, spec: StreamSpec, grid: PatchGrid, session: Session, patches: int
    ) -> PatchSource:
        encoder = Encoder(self._family, session.counters)
        if spec.window is not None and spec.window.rate is not None:
            return EncodeSampled(encoder)
        if self._cache.reuse == "none":
            return EncodeEachTime(encoder)
        need = patches * record_bytes(self._family, grid.tokens)
        if need > self._cache.visual_bytes:
            raise ModelError(
                f"the window of {spec.system} needs {need} bytes of encoded frames, but "
                f"{_SECTION}.visual_bytes is {self._cache.visual_bytes}; raise it, or lower "
                f"system.{spec.system}.window.max_frames"
            )
        cache = self._visual_cache(spec, grid, session)
        cache.reserve(patches)
        return cache

    def _visual_cache(self, spec: StreamSpec, grid: PatchGrid, session: Session) -> EncodeOnce:
        if spec.size not in session.caches:
            encoder = Encoder(self._family, session.counters)
            session.caches[spec.size] = EncodeOnce(encoder, grid.tokens, holes=spec.holes)
        return session.caches[spec.size]

    def _context(self, spec: StreamSpec, grid: PatchGrid, patches: int) -> Context:
        family, limit = self._family, self._cache.arena_bytes
        arena = Arena(family.model, limit, family.dtype)
        room = _Room(arena.slot_bytes, grid.tokens + self._chat.wrap(*_LONG).tokens)
        need = room.slots(patches) * arena.slot_bytes
        if need > limit:
            raise ModelError(
                f"the window of {spec.system} needs {need} bytes of keys and values, but {_SECTION}.arena_bytes is "
                f"{limit}; raise it, or {self._remedy(spec, grid, room.patches(limit))}"
            )
        free = free_bytes(family.device)
        if free is not None and need > free:
            raise OutOfMemory(
                f"the window of {spec.system} needs {need} bytes of keys and values, and {family.device} has {free} "
                f"bytes left; {self._remedy(spec, grid, room.patches(free))}"
            )
        arena.reserve(room.slots(patches))
        fps = spec.fps
        if spec.window is not None and spec.window.rate is not None:
            fps = Fraction(*spec.window.rate)
        position = self._cache.position
        anchored = position == "anchor" or (
            position == "auto" and family.axes == 1 and can_rotate(family)
        )
        if anchored and not can_rotate(family):
            raise ModelError(
                f"{_SECTION}.position=anchor: this model's rotary frequencies change with the length of what it "
                f"reads; set {_SECTION}.position=original"
            )
        return Context(self._forward, self._chat, Clock(grid, fps), arena, anchored=anchored)

    def _remedy(self, spec: StreamSpec, grid: PatchGrid, fits: int) -> str:
        """What to set where an arena has room for `fits` temporal patches, waiting ones and sinks included."""
        evicts = spec.window is not None and self._kind(spec) == "evict"
        held = fits - (self._cache.prefill_stride - 1 if evicts else 0)
        window = held - (self._cache.sinks if evicts else 0)
        if window < 1:
            return "use smaller frames; not even one temporal patch fits"
        tokens = f" or {_SECTION}.context_tokens={held * grid.tokens}" if evicts else ""
        return (
            f"set system.{spec.system}.window.max_frames={window * self._family.span}{tokens}, or use smaller "
            "frames"
        )


@dataclass(frozen=True)
class _Room:
    """How many temporal patches go into how much memory."""

    slot_bytes: int
    #: Slots of one patch with the text around it.
    per_patch: int

    def slots(self, patches: int) -> int:
        """What `patches` and the questions behind them take."""
        return patches * self.per_patch + _SCRATCH

    def patches(self, budget: int) -> int:
        """What fits into `budget` bytes."""
        return max(0, (budget // self.slot_bytes - _SCRATCH) // self.per_patch)
