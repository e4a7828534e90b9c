"""Encoding each frame once: a session's encoded patches, for as long as a window may hold them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dsb._core import select
from dsb.errors import CausalityError, ModelError
from dsb.models.local.vision.encoder import Encoder, Pixels, mean_s
from dsb.models.local.vision.patch import EncodedPatch
from dsb.models.local.vision.patch_store import PatchRecords, record_bytes, records_for
from dsb.models.local.vision.window import PatchRange, WindowExtent, WindowPatches

if TYPE_CHECKING:
    from dsb._core import Window, WindowSpec
    from dsb.stream.view import StreamView


@dataclass(frozen=True)
class Arrival:
    """A temporal patch that has just been completed."""

    patch: EncodedPatch
    #: First patch of the subscriber's window at that moment.
    first: int


@dataclass
class Subscription:
    """Completed patches on their way to someone who reads each of them once, in order."""

    spec: WindowSpec
    arrivals: deque[Arrival] = field(default_factory=deque)


class EncodeOnce:
    """`reuse: embed` and `kv`: each patch is encoded when its last frame comes, and kept as long as a window may
    hold it.

    One object serves all conversations of a session; a frame that it knows already is not encoded again.
    """

    reads_pixels = False

    def __init__(self, encoder: Encoder, tokens: int, *, holes: bool = False) -> None:
        """`tokens` per patch; `reserve` makes room for them. With `holes` frames may be missing."""
        self._encoder = encoder
        self._tokens = tokens
        self._records = self._make_records(1)
        self._subscriptions: list[Subscription] = []
        self._holes = holes
        #: Frames `[_start, _start + len(_pts_ns))` have been observed, `_first` is their first whole patch;
        #: record r is patch `_base + r`.
        self._start = 0
        self._first = 0
        self._base = 0
        self._pts_ns: list[int] = []
        self._open: list[Pixels] = []
        self._newest: Pixels | None = None
        self._provisional: tuple[int, EncodedPatch] | None = None

    @property
    def nbytes(self) -> int:
        """Memory of the patches that can be kept."""
        return self._records.capacity * record_bytes(self._encoder.family, self._tokens)

    def reserve(self, patches: int) -> None:
        """Make room for a window of `patches`; part of opening a conversation.

        Raises:
            ModelError: patches have been encoded already, and some that the window needs may be gone.
        """
        if patches <= self._records.capacity:
            return
        self._refuse_late()
        self._records = self._make_records(patches)

    def subscribe(self, spec: WindowSpec) -> Subscription:
        """Hand over every patch that is completed from now on; part of opening a conversation.

        Raises:
            ModelError: patches have been encoded already.
        """
        self._refuse_late()
        subscription = Subscription(spec)
        self._subscriptions.append(subscription)
        return subscription

    def _refuse_late(self) -> None:
        if self._records.newest:
            raise ModelError(
                "this conversation was opened after the session's first frames, and needs some of them; open all "
                "conversations of a session before the first of them observes"
            )

    def _make_records(self, patches: int) -> PatchRecords:
        return records_for(self._encoder.family, self._tokens, patches)

    @property
    def _stop(self) -> int:
        return self._start + len(self._pts_ns)

    @property
    def processed_through(self) -> int | None:
        """The last frame of the last complete patch."""
        patches = self._base + self._records.newest
        return patches * self._encoder.family.span - 1 if self._records.newest else None

    def observe(self, window: Window) -> None:
        """Encode the patches that these frames complete.

        Where frames may be missing, windows begin after the missing ones.

        Raises:
            ModelError: frames are missing between these and the ones before.
        """
        ids, pts_ns = window.ids, window.pts_ns
        if not ids or ids[-1] < self._stop:
            return
        # Copies: a failure below must not keep the lease of the window alive in its traceback.
        pictures = [picture.copy() for picture in np.asarray(window)]
        span = self._encoder.family.span
        if not self._pts_ns:
            self._begin_at(ids[0], span)
        for frame, shown_ns, picture in zip(ids, pts_ns, pictures, strict=True):
            if frame < self._stop:
                continue
            if frame > self._stop and not self._holes:
                raise ModelError(
                    f"frames {self._stop} to {frame - 1} were not observed; hand over every frame in order"
                )
            if frame > self._stop:
                self._begin_at(frame, span)
            self._take(frame, shown_ns, picture, span)

    def _begin_at(self, frame: int, span: int) -> None:
        """Only windows over frames without a hole are kept."""
        self._start, self._pts_ns, self._open = frame, [], []
        self._first = -(-frame // span)
        self._base = self._first - self._records.newest

    def _take(self, frame: int, shown_ns: int, picture: Pixels, span: int) -> None:
        # Nothing of this object changes before the encoder has succeeded.
        together = [*self._open, picture] if frame // span >= self._first else []
        patch = None
        if len(together) == span:
            times = [*self._pts_ns[len(self._pts_ns) - span + 1 :], shown_ns]
            patch = self._encoder.patch(frame // span, times, np.stack(together))
            self._records.push(patch.values, shown_ns)
            together = []
        self._open = together
        self._newest = picture
        self._pts_ns.append(shown_ns)
        if patch is not None:
            for subscription in self._subscriptions:
                extent = self._extent(subscription.spec, self._stop, shown_ns)
                first = patch.number if extent is None else extent.patches.first
                subscription.arrivals.append(Arrival(patch, first))

    def fetch(self, spec: WindowSpec, view: StreamView) -> WindowPatches | None:
        """Collect the patches of the window; a lone newest frame is encoded once for all who ask at this time.

        Raises:
            ModelError: frames on screen have not been observed.
            CausalityError: later frames have been observed and a lone frame's pixels are gone.
        """
        extent = self.extent(spec, view)
        if extent is None:
            return None
        span = self._encoder.family.span
        patches, lone = extent.patches, None
        if patches.lone is not None:
            lone = self.lone(patches.lone, view.t_ns)
        return WindowPatches(
            self._patches(patches.first, patches.stop),
            lone,
            patches.frames(span),
            extent.visible_until_ns,
        )

    def extent(self, spec: WindowSpec, view: StreamView) -> WindowExtent | None:
        """What `fetch` would collect.

        Raises:
            ModelError: frames on screen have not been observed.
        """
        visible = view.visible
        if visible > self._stop:
            raise ModelError(
                f"frames {self._stop} to {visible - 1} are on screen at {view.t_ns / 1e9:.3f} s but were not observed"
            )
        return self._extent(spec, visible, view.t_ns)

    def _extent(self, spec: WindowSpec, visible: int, t_ns: int) -> WindowExtent | None:
        shown = self._pts_ns[
            max(0, visible - self._start - spec.max_frames) : max(0, visible - self._start)
        ]
        chosen = select(spec, shown, t_ns)
        if not chosen:
            return None
        first = visible - len(shown) + chosen[0]
        return WindowExtent(PatchRange.of(first, visible, self._encoder.family.span), shown[-1])

    def lone(self, frame: int, t_ns: int) -> EncodedPatch:
        """The newest frame as a patch of its own, encoded once for all who ask at this time.

        Raises:
            CausalityError: later frames have been observed and its pixels are gone.
        """
        if self._provisional is None or self._provisional[0] != frame:
            if frame != self._stop - 1 or self._newest is None:
                raise CausalityError(
                    f"a question at {t_ns / 1e9:.3f} s came after frame {self._stop - 1} had been observed; "
                    "ask in stream order"
                )
            number = frame // self._encoder.family.span
            patch = self._encoder.provisional(number, self._pts_ns[-1], self._newest)
            self._provisional = frame, patch
        return self._provisional[1]

    def _patches(self, first: int, stop: int) -> list[EncodedPatch]:
        if first == stop:
            return []
        span = self._encoder.family.span
        values = self._records.get(first - self._base, stop - self._base)
        return [
            EncodedPatch(number, mean_s(self._pts_ns[place : place + span]), each)
            for number, each in zip(range(first, stop), values, strict=True)
            for place in [number * span - self._start]
        ]
