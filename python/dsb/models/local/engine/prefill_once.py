"""Prefilling while the stream plays: `kv: evict`, and `kv: view` on what that has read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from dsb.errors import CausalityError, ModelError
from dsb.models.backend import Counters
from dsb.models.local.engine.context import Context
from dsb.models.local.engine.eviction import Residency
from dsb.models.local.engine.prefill import ReadyContext
from dsb.models.local.vision.encode_once import Arrival, EncodeOnce
from dsb.models.local.vision.patch import EncodedPatch
from dsb.models.local.vision.window import WindowExtent

if TYPE_CHECKING:
    from dsb._core import Window, WindowSpec
    from dsb.stream.view import StreamView


class PrefillOnce:
    """Patches are read as they come, `stride` at a time, and leave as their residency says."""

    reads_pixels = False

    def __init__(
        self,
        context: Context,
        header: tuple[int, ...],
        cache: EncodeOnce,
        spec: WindowSpec,
        black: EncodedPatch,
        counters: Counters,
        *,
        residency: Residency,
        stride: int = 1,
    ) -> None:
        """`header` is how every prompt begins; `residency` is empty."""
        self.context = context
        self.spec = spec
        self.cache = cache
        self._header = header
        self._black = black
        self._counters = counters
        self._stride = stride
        self._empty = residency
        self._residency = residency.copy()
        self._subscription = cache.subscribe(spec)
        #: Number of the patch that comes next; `None` before the first.
        self._next: int | None = None
        self._span = context.family.span

    @property
    def kv_bytes(self) -> int:
        """Memory of its arena."""
        return self.context.arena.nbytes

    @property
    def processed_through(self) -> int | None:
        """The last frame of the last patch that is in the context."""
        return None if self._next is None else self._next * self._span - 1

    def observe(self, window: Window) -> None:
        """Encode, and read when `stride` patches are waiting."""
        self.cache.observe(window)
        while len(self._subscription.arrivals) >= self._stride:
            self._read_group()

    def catch_up(self) -> None:
        """Read every patch that is complete."""
        while self._subscription.arrivals:
            self._read_group()

    def _read_group(self) -> None:
        """Read the first waiting patches between which no frame is missing; on failure they go on waiting."""
        waiting = self._subscription.arrivals
        group = [waiting[0]]
        for arrival in list(waiting)[1 : self._stride]:
            if arrival.patch.number != group[-1].patch.number + 1:
                break
            group.append(arrival)
        begun = time.perf_counter_ns()
        self._read(group)
        if self.context.family.device.type == "cuda":
            torch.cuda.synchronize(self.context.family.device)
        spent = time.perf_counter_ns() - begun
        self._counters.prefill_ns += spent
        self._counters.model_ns += spent
        for _ in group:
            waiting.popleft()

    def _read(self, group: Sequence[Arrival]) -> None:
        if self._next is not None and group[0].patch.number != self._next:
            # Frames were lost; windows begin after the hole.
            self.context.clear()
            self._residency = self._empty.copy()
            self._next = None
        residency = self._residency.copy()
        leaving = [residency.admit(each.patch.number, each.first) for each in group]
        # Of a group whose reading failed once, whole forwards may have been read.
        newest = self.context.newest
        done = 0 if newest is None else sum(each.patch.number <= newest for each in group)
        self.context.evict([patch for gone in leaving[:done] for patch in gone])
        self._counters.tokens_computed += self.context.append(
            self._header,
            [each.patch for each in group[done:]],
            sinks=frozenset(residency.sunk),
            leaving=leaving[done:],
        )
        self._counters.patches_evicted += sum(map(len, leaving))
        self._residency = residency
        self._next = group[-1].patch.number + 1

    def prepare(self, header: tuple[int, ...], view: StreamView) -> ReadyContext:
        """Read on to the time of `view`.

        Raises:
            ModelError: another header than all prompts begin with.
            CausalityError: later frames have been read already.
        """
        if header != self._header:
            raise ModelError(
                "a system message changes how the prompt begins, and the context begins with the chat's own header; "
                "set window.kv=strict for this system"
            )
        context, before = self.context, _Before(self.context)
        self._check_order(view)
        self.catch_up()
        extent = self.cache.extent(self.spec, view)
        if extent is None:
            return self.dark(before)
        seen, lone = extent.patches, None
        if seen.lone is not None:
            lone = self.cache.lone(seen.lone, view.t_ns)
        residency = self._residency.copy()
        if lone is not None and (self._next is None or lone.number >= self._next):
            gone = residency.admit(lone.number, seen.first)
        else:
            gone = residency.move(seen.first)
        context.evict(gone)
        self._residency = residency
        self._counters.patches_evicted += len(gone)
        self._begin()
        return before.ready(context, None, context.patches, lone, extent)

    def dark(self, before: _Before) -> ReadyContext:
        """No frame is in the window: the header alone, and black behind it."""
        self._begin()
        slots = self.context.header_slots
        return ReadyContext(
            self.context, slots, self._black, 1, before.kept(self.context, slots, []), None, None
        )

    def _begin(self) -> None:
        """The header is there, even before the first patch."""
        if self.context.header is None:
            self._counters.tokens_computed += self.context.append(self._header, [])

    def _check_order(self, view: StreamView) -> None:
        waiting = self._subscription.arrivals
        stop = waiting[-1].patch.number + 1 if waiting else self._next
        if stop is not None and stop * self._span > view.visible:
            raise CausalityError(
                f"a question at {view.t_ns / 1e9:.3f} s came after frame {stop * self._span - 1} had been observed; "
                "ask in stream order"
            )


class BorrowPrefill:
    """A view of what another system has read: no prefill, and only the own window is visible.

    What is visible was computed while attending to older patches, so a little of them leaks into the answers.
    """

    reads_pixels = False
    kv_bytes = 0

    def __init__(self, spec: WindowSpec, lender: Callable[[], PrefillOnce]) -> None:
        """`lender` finds the other system's prefill when it is needed.

        Raises:
            ModelError: from `lender`.
        """
        self._spec = spec
        self._lender = lender

    @property
    def processed_through(self) -> int | None:
        """That of the other."""
        return self._lender().processed_through

    def observe(self, window: Window) -> None:
        """Let the other system read; what it has seen already is skipped."""
        self._lender().observe(window)

    def prepare(self, header: tuple[int, ...], view: StreamView) -> ReadyContext:
        """The other's context, with the patches before the own window hidden; those that never leave are seen."""
        lender = self._lender()
        context, before = lender.context, _Before(lender.context)
        whole = lender.prepare(header, view)
        extent = lender.cache.extent(self._spec, view)
        if extent is None or whole.frames is None:
            return lender.dark(before)
        lone = whole.provisional
        if lone is None and extent.patches.lone is not None:
            # A window of one frame, which the other sees as the second of a pair.
            lone = lender.cache.lone(extent.patches.lone, view.t_ns)
        first, sinks = extent.patches.first, context.sinks
        patches = [number for number in context.patches if number >= first or number in sinks]
        hidden = len(context.patches) - len(patches)
        visible = context.arena.visible(patches) if hidden else None
        return before.ready(context, visible, patches, lone, extent)


class _Before:
    """What was in a context before somebody asked."""

    def __init__(self, context: Context) -> None:
        self._header = context.header is not None
        self._patches = frozenset(context.patches)

    def kept(self, context: Context, visible: Sequence[int] | None, patches: Sequence[int]) -> int:
        """How many of the `visible` tokens, those of the header and of `patches`, were there."""
        if not self._header:
            return 0
        fresh = (context.arena.slots(each) for each in patches if each not in self._patches)
        seen = context.arena.used if visible is None else len(visible)
        return seen - sum(map(len, fresh))

    def ready(
        self,
        context: Context,
        visible: Sequence[int] | None,
        patches: Sequence[int],
        lone: EncodedPatch | None,
        extent: WindowExtent,
    ) -> ReadyContext:
        """The context for questions that see `patches` of it, at the slots `visible`, and `lone`."""
        span = context.family.span
        first, last = extent.patches.frames(span)
        return ReadyContext(
            context,
            visible,
            lone,
            len(patches) + (lone is not None),
            self.kept(context, visible, patches),
            (patches[0] * span if patches else first, last),
            extent.visible_until_ns,
        )
