"""What the language model has read of a stream: the chat header and temporal patches, in an arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from dsb.models.local.engine.anchor import Anchor, can_rotate, rotated
from dsb.models.local.engine.arena import Arena, Share
from dsb.models.local.engine.forward import Forward
from dsb.models.local.families.chat import ChatFormat
from dsb.models.local.families.family import Family
from dsb.models.local.families.tokens import Clock, Cursor, Tokens
from dsb.models.local.vision.patch import EncodedPatch

#: Owner of the chat header.
_HEADER = (1 << 63) - 2
#: Once the window begins behind this position, it is numbered from the beginning again: in float32 the angle of
#: position 1e6 is off by 3e-2, that of 1e5 by 2e-3.
_FAR = 1 << 16
#: A longer prefill runs in several forwards, to bound the memory of activations.
_MOST_TOKENS = 8192


@dataclass(frozen=True)
class Tail:
    """Where the text of a question begins."""

    #: Position of its first token, before `shift`.
    start: int
    #: (axes,); `None` is zero.
    shift: Tensor | None = None

    def line(self, family: Family, offset: int, count: int) -> Tensor:
        """Positions (axes, count) of tokens from the `offset`-th on."""
        places = family.line(self.start + offset, count)
        return places if self.shift is None else places + self.shift[:, None]


@dataclass(frozen=True)
class _Stand:
    """Where a resident patch stands."""

    index: int
    #: Tokens of text in front of it and behind it.
    before: int
    after: int
    #: In front of its visual tokens.
    cursor: Cursor


@dataclass(frozen=True)
class Unread:
    """Tokens of a context that the next forward reads."""

    tokens: Tokens
    shares: Sequence[Share]


@dataclass(frozen=True)
class _Layout:
    """Tokens on their way into the arena, and where the context stands behind them."""

    parts: Sequence[Tokens]
    shares: Sequence[Share]
    stands: Sequence[_Stand]
    cursor: Cursor


class Context:
    """A sequence that grows by whole temporal patches and may lose them again.

    `index` of a patch counts from the first one of the sequence, evicted ones included, so positions and text never
    depend on what has left.
    """

    def __init__(
        self,
        forward: Forward,
        chat: ChatFormat,
        clock: Clock,
        arena: Arena,
        *,
        anchored: bool = False,
    ) -> None:
        """Empty. `anchored`: what never leaves moves next to what is still there (`position: anchor`)."""
        self.forward = forward
        self.family = forward.family
        self.arena = arena
        self._chat = chat
        self._clock = clock
        self._anchored = anchored
        self.clear()

    # -- state -------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything."""
        self.arena.clear()
        self.header: tuple[int, ...] | None = None
        #: Patches read so far, evicted ones included, and the number of the last of them.
        self.read = 0
        self.newest: int | None = None
        self._cursor = Cursor()
        self._stands: dict[int, _Stand] = {}
        self._sinks: list[int] = []
        self._anchor: Anchor | None = None
        #: Something has left, and the anchor has not been turned.
        self._turns = False

    @property
    def patches(self) -> list[int]:
        """Numbers of the patches that are here, in the order in which they came."""
        return list(self._stands)

    @property
    def sinks(self) -> frozenset[int]:
        """Those of them that never leave."""
        return frozenset(self._sinks)

    @property
    def header_slots(self) -> list[int]:
        """Where the chat header is."""
        return self.arena.slots(_HEADER)

    # -- reading -----------------------------------------------------------------------------------

    def append(
        self,
        header: tuple[int, ...],
        patches: Sequence[EncodedPatch],
        *,
        sinks: frozenset[int] = frozenset(),
        leaving: Sequence[Sequence[int]] = (),
    ) -> int:
        """Read `patches`, behind the chat header where the sequence begins with them; returns the tokens computed.

        `leaving[i]` are patches of this sequence that patch i and all later ones no longer see, as if they had been
        evicted before it came; they are evicted in the end. So reading patches together or one by one is the same.
        Nothing has changed when an exception comes out, except that patches of whole earlier forwards are here.

        Raises:
            OutOfMemory: the arena has no room.
        """
        if self.header is not None and self.header != header:
            raise ValueError("a context has one chat header; clear it first")
        computed = 0
        gone = [list(each) for each in leaving] or [[] for _ in patches]
        for chunk in self._chunks(gone):
            computed += self._read(header, patches[chunk], sinks, gone[chunk])
        if self.header is None:
            computed += self._read(header, [], sinks, [])
        return computed

    def _chunks(self, leaving: Sequence[Sequence[int]]) -> list[slice]:
        """Patches that one forward reads."""
        most = max(1, _MOST_TOKENS // self._clock.grid.tokens)
        starts: list[int] = []
        for place, gone in enumerate(leaving):
            # What never leaves can be next to one window only.
            if not starts or place - starts[-1] == most or (self._anchored and gone):
                starts.append(place)
        return [slice(*each) for each in pairwise([*starts, len(leaving)])]

    def _read(
        self,
        header: tuple[int, ...],
        patches: Sequence[EncodedPatch],
        sinks: frozenset[int],
        leaving: list[list[int]],
    ) -> int:
        if leaving:
            self.evict(leaving[0])
        self._turn()
        layout = self._lay_out(header, patches, sinks)
        if not layout.parts:
            return 0
        tokens, shares, arena = Tokens.join(layout.parts), layout.shares, self.arena
        with arena.attempt():
            arena.extend(shares)
            mask = self._mask(shares, len(shares) - len(patches), leaving)
            self.forward.hidden(tokens, arena, mask)
        self._advance(header, patches, layout)
        self.evict([each for later in leaving[1:] for each in later])
        self._come_back()
        return len(tokens)

    def take(
        self, header: tuple[int, ...], patches: Sequence[EncodedPatch]
    ) -> tuple[Unread | None, int]:
        """What `append` would read, for a forward that reads questions behind it as well, and the tokens computed.

        `None` where there is nothing to read, or where it has been read after all because it does not go into such a
        forward. It counts as read from now on: the context must be cleared if that forward fails.
        """
        most = _MOST_TOKENS // self._clock.grid.tokens
        if self.arena.recurrent is not None or len(patches) > most:
            return None, self.append(header, patches)
        layout = self._lay_out(header, patches, frozenset())
        if not layout.parts:
            return None, 0
        unread = Unread(Tokens.join(layout.parts), layout.shares)
        self._advance(header, patches, layout)
        return unread, 0

    def _lay_out(
        self, header: tuple[int, ...], patches: Sequence[EncodedPatch], sinks: frozenset[int]
    ) -> _Layout:
        """The tokens of `patches`, behind those of the header where the sequence begins."""
        cursor, parts, shares, stands = self._cursor, [], [], []
        if self.header is None:
            text, cursor = self.family.text(header, Cursor())
            cursor = Cursor(cursor.next, cursor.next)
            parts.append(text)
            shares.append(Share(_HEADER, len(text), sink=True))
        for offset, patch in enumerate(patches):
            tokens, stand, cursor = self._piece(patch, self.read + offset, cursor)
            parts.append(tokens)
            stands.append(stand)
            shares.append(Share(patch.number, len(tokens), patch.number in sinks))
        return _Layout(parts, shares, stands, cursor)

    def _advance(
        self, header: tuple[int, ...], patches: Sequence[EncodedPatch], layout: _Layout
    ) -> None:
        """They have been read."""
        self.header, self._cursor = header, layout.cursor
        for patch, stand in zip(patches, layout.stands, strict=True):
            self._stands[patch.number] = stand
        self._sinks += [
            share.owner for share in layout.shares if share.sink and share.owner != _HEADER
        ]
        self.read += len(patches)
        if patches:
            self.newest = patches[-1].number

    def _piece(
        self, patch: EncodedPatch, index: int, cursor: Cursor
    ) -> tuple[Tokens, _Stand, Cursor]:
        family = self.family
        wrap = self._chat.wrap(index, patch.seconds)
        before, cursor = family.text(wrap.before, cursor)
        stand = _Stand(index, len(wrap.before), len(wrap.after), cursor)
        places, cursor = family.place(cursor, index, self._clock)
        visual = Tokens(patch.values[0], places, patch.values[1:] if family.depth else None)
        after, cursor = family.text(wrap.after, cursor)
        tokens = Tokens.join([part for part in (before, visual, after) if len(part)])
        return tokens, stand, cursor

    def ending(self, patch: EncodedPatch | None) -> tuple[Tokens | None, Tail]:
        """The tokens of a patch that is not final yet, if there is one, and where a question begins behind it."""
        self._turn()
        cursor = self._cursor
        tokens, stand = None, None
        if patch is not None:
            tokens, stand, cursor = self._piece(patch, self.read, cursor)
        if self._anchor is None or not self._anchored:
            return tokens, Tail(cursor.next)
        stands = [*self._stands.values(), *([stand] if stand is not None else [])]
        if not stands:
            return tokens, Tail(cursor.next)
        # As far behind the last patch as if the others were next to each other, even where they are not.
        shift, behind = self._moved(stands[-1], stands[:-1])
        return tokens, Tail(behind.next, shift)

    def _mask(
        self, shares: Sequence[Share], headers: int, leaving: Sequence[Sequence[int]]
    ) -> Tensor | None:
        """(new, used): causal, without what has left when a patch came; `None` when nothing left in between."""
        if not any(leaving[1:]):
            return None
        used = self.arena.used
        new = sum(share.tokens for share in shares)
        mask = torch.ones((new, used), dtype=torch.bool).tril(used - new)
        row = sum(share.tokens for share in shares[: headers + 1])
        for share, gone in zip(shares[headers + 1 :], leaving[1:], strict=True):
            for patch in gone:
                mask[row:, self.arena.slots(patch)] = False
            row += share.tokens
        return mask.to(self.family.device)

    # -- losing ------------------------------------------------------------------------------------

    def evict(self, patches: Sequence[int]) -> None:
        """Drop these patches; those that are not here are passed over."""
        here = [patch for patch in patches if patch in self._stands]
        if not here:
            return
        if self._anchored and self._anchor is None:
            self._anchor = Anchor(self.family, self.arena)
        for patch in here:
            del self._stands[patch]
        self._turns = self._anchored
        self.arena.evict(here)
        self._turn()

    def _turn(self) -> None:
        """Put what never leaves next to the window, if that is still to be done; again, where it failed."""
        if self._turns and self._anchor is not None:
            self._anchor.turn(self._gap())
        self._turns = False

    @property
    def _window(self) -> dict[int, _Stand]:
        """The patches that may leave."""
        return {each: stand for each, stand in self._stands.items() if each not in self._sinks}

    def _come_back(self) -> None:
        """Number the window from the beginning, once it is far from there; distances stay as they are."""
        window = self._window
        if not window:
            return
        back = next(iter(window.values())).cursor.next - len(self.header or ())
        if back <= _FAR or not can_rotate(self.family):
            return
        if self._anchor is None:
            self._anchor = Anchor(self.family, self.arena)
        turn = torch.full((self.family.axes,), -back)
        slots = {patch: self.arena.slots(patch) for patch in window}
        # All of them before any is put back: a failure must not leave some of them turned.
        turned = {
            patch: [rotated(self.family, keys, turn) for keys in self.arena.keys(places)]
            for patch, places in slots.items()
        }
        for patch, keys in turned.items():
            self.arena.put_keys(slots[patch], keys)
        self._anchor.turn(self._anchor.gap + turn)
        self._cursor = self._cursor.moved(-back)
        for patch, stand in window.items():
            self._stands[patch] = replace(stand, cursor=stand.cursor.moved(-back))

    def _gap(self) -> Tensor:
        """How much earlier the first patch of the window would stand if nothing had left, (axes,)."""
        sunk = [self._stands[number] for number in self._sinks]
        first = next(iter(self._window.values()), _Stand(self.read, 0, 0, self._cursor))
        return self._moved(first, sunk)[0].cpu()

    def _moved(self, stand: _Stand, earlier: Sequence[_Stand]) -> tuple[Tensor, Cursor]:
        """How much later a patch stands than behind `earlier` alone, (axes,), and the cursor behind it there."""
        cursor = self._recounted(earlier)
        cursor = Cursor(cursor.next + stand.before, cursor.origin)
        would, cursor = self.family.place(cursor, len(earlier), self._clock)
        stands, _ = self.family.place(stand.cursor, stand.index, self._clock)
        return stands[:, 0] - would[:, 0], Cursor(cursor.next + stand.after, cursor.origin)

    def _recounted(self, stands: Sequence[_Stand]) -> Cursor:
        """The cursor behind the header and these patches, had there been no others."""
        header = len(self.header or ())
        cursor = Cursor(header, header)
        for index, stand in enumerate(stands):
            _, cursor = self.family.place(
                Cursor(cursor.next + stand.before, cursor.origin), index, self._clock
            )
            cursor = Cursor(cursor.next + stand.after, cursor.origin)
        return cursor
