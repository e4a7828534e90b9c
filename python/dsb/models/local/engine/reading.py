"""What a system has read when it is asked: how the context of each question comes to be.

- `ReadAgain` (`reuse: none`, `embed`): the whole window, anew for every question. With `kv: strict` what the last
  question read is kept as long as the window begins at the same patch; that changes no answer.
- `ReadOnce` (`kv: evict`): patches are read as they come, and evicted when they leave the window. The keys and
  values that stay were computed while attending to what has left since: once something has left, this is another,
  fully specified attention pattern.
- `ReadOthers` (`kv: view`): another system's context, of which only the own window is visible.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from dsb.errors import CausalityError, ModelError
from dsb.models.backend import Counters
from dsb.models.local.engine.context import Context, Unread
from dsb.models.local.engine.eviction import Residency
from dsb.models.local.vision.encode_once import Arrival, EncodeOnce, Glance
from dsb.models.local.vision.encoders import Sight
from dsb.models.local.vision.patch import EncodedPatch

if TYPE_CHECKING:
    from dsb._core import Window as FrameWindow
    from dsb._core import WindowSpec
    from dsb.stream.view import StreamView


@dataclass(frozen=True)
class Reading:
    """A context that is ready for questions at one time."""

    context: Context
    #: Slots that the questions see; `None` is all.
    visible: Sequence[int] | None
    #: A patch that is not final, or the black one; read together with the questions.
    provisional: EncodedPatch | None
    #: Patches that the questions see, the provisional one included.
    patches: int
    #: Tokens of the visible context that were there before anybody asked.
    cached: int
    #: First and last frame id; `None` without frames.
    frames: tuple[int, int] | None
    #: Stream time of the last frame.
    visible_until_ns: int | None
    #: What the first forward of the questions reads of the context; if that fails, the context must be cleared.
    unread: Unread | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the context that the questions see, without the provisional patch."""
        return self.context.arena.used if self.visible is None else len(self.visible)


class Reader(Protocol):
    """How the context of a conversation comes to be."""

    @property
    def kv_bytes(self) -> int:
        """Memory of its keys and values; 0 where it looks into another reader's."""

    @property
    def processed_through(self) -> int | None:
        """The last frame that is encoded, and read where reading does not wait for a question."""

    @property
    def reads_pixels(self) -> bool:
        """Whether the frames of a window must still be there when it is asked about."""

    def observe(self, window: FrameWindow) -> None:
        """New frames came on screen."""

    def read(self, header: tuple[int, ...], view: StreamView) -> Reading:
        """The context of questions at the time of `view` whose prompts begin with `header`."""


class ReadAgain:
    """Every question reads its window; with `keep`, a window that only grew is read on."""

    def __init__(
        self,
        context: Context,
        sight: Sight | None,
        spec: WindowSpec | None,
        black: EncodedPatch,
        counters: Counters,
        *,
        keep: bool,
    ) -> None:
        """`sight` and `spec` are `None` for a system without a window; `black` is seen where no frame is."""
        self._context = context
        self._sight = sight
        self._spec = spec
        self._black = black
        self._counters = counters
        self._keep = keep

    @property
    def kv_bytes(self) -> int:
        """Memory of its arena."""
        return self._context.arena.nbytes

    @property
    def processed_through(self) -> int | None:
        """The last frame of the last encoded patch."""
        return None if self._sight is None else self._sight.processed_through

    @property
    def reads_pixels(self) -> bool:
        """Only where every question encodes again."""
        return self._sight is not None and self._sight.reads_pixels

    def observe(self, window: FrameWindow) -> None:
        """Encode; reading waits for a question, because a window that slides is read anew anyway."""
        if self._sight is not None:
            self._sight.observe(window)

    def read(self, header: tuple[int, ...], view: StreamView) -> Reading:
        """Read what the window holds."""
        look = None
        if self._sight is not None and self._spec is not None:
            look = self._sight.look(self._spec, view)
        patches = [] if look is None else look.patches
        context = self._context
        have = context.patches
        numbers = [patch.number for patch in patches]
        if not self._keep or context.header != header or have != numbers[: len(have)]:
            context.clear()
            have = []
        cached = context.arena.used
        unread, computed = context.take(header, patches[len(have) :])
        self._counters.tokens_computed += computed
        lone = self._black if look is None else look.lone
        return Reading(
            context,
            None,
            lone,
            len(patches) + (lone is not None),
            cached,
            None if look is None else look.frames,
            None if look is None else look.visible_until_ns,
            unread,
        )


class ReadOnce:
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

    def observe(self, window: FrameWindow) -> None:
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

    def read(self, header: tuple[int, ...], view: StreamView) -> Reading:
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
        glance = self.cache.glance(self.spec, view)
        if glance is None:
            return self.dark(before)
        seen, lone = glance.range, None
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
        return before.reading(context, None, context.patches, lone, glance)

    def dark(self, before: _Before) -> Reading:
        """No frame is in the window: the header alone, and black behind it."""
        self._begin()
        slots = self.context.header_slots
        return Reading(
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


class ReadOthers:
    """A view of what another system has read: no prefill, and only the own window is visible.

    What is visible was computed while attending to older patches, so a little of them leaks into the answers.
    """

    reads_pixels = False
    kv_bytes = 0

    def __init__(self, spec: WindowSpec, lender: Callable[[], ReadOnce]) -> None:
        """`lender` finds the other system's reader when it is needed.

        Raises:
            ModelError: from `lender`.
        """
        self._spec = spec
        self._lender = lender

    @property
    def processed_through(self) -> int | None:
        """That of the other."""
        return self._lender().processed_through

    def observe(self, window: FrameWindow) -> None:
        """Let the other system read; what it has seen already is skipped."""
        self._lender().observe(window)

    def read(self, header: tuple[int, ...], view: StreamView) -> Reading:
        """The other's context, with the patches before the own window hidden; those that never leave are seen."""
        lender = self._lender()
        context, before = lender.context, _Before(lender.context)
        whole = lender.read(header, view)
        glance = lender.cache.glance(self._spec, view)
        if glance is None or whole.frames is None:
            return lender.dark(before)
        lone = whole.provisional
        if lone is None and glance.range.lone is not None:
            # A window of one frame, which the other sees as the second of a pair.
            lone = lender.cache.lone(glance.range.lone, view.t_ns)
        first, sinks = glance.range.first, context.sinks
        patches = [number for number in context.patches if number >= first or number in sinks]
        hidden = len(context.patches) - len(patches)
        visible = context.arena.visible(patches) if hidden else None
        return before.reading(context, visible, patches, lone, glance)


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

    def reading(
        self,
        context: Context,
        visible: Sequence[int] | None,
        patches: Sequence[int],
        lone: EncodedPatch | None,
        glance: Glance,
    ) -> Reading:
        """The context for questions that see `patches` of it, at the slots `visible`, and `lone`."""
        span = context.family.span
        first, last = glance.range.frames(span)
        return Reading(
            context,
            visible,
            lone,
            len(patches) + (lone is not None),
            self.kept(context, visible, patches),
            (patches[0] * span if patches else first, last),
            glance.visible_until_ns,
        )
