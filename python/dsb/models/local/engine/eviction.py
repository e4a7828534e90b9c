"""Which temporal patches stay in a full context: a function of the stream, never of the questions."""

from __future__ import annotations

import random
from bisect import bisect_left
from typing import Literal

Policy = Literal["oldest", "random", "stride-thinned"]


class Residency:
    """The temporal patches that a context holds or is about to hold.

    A patch is *admitted* when its first frame comes on screen. The first `sinks` patches never leave. Of the others
    at most `budget` stay; admitting one more makes room first:

    - `oldest`: the oldest leaves. Here, patches before the window leave as well.
    - `random`: any, drawn by `seed` and the number of the new patch.
    - `stride-thinned`: the one whose neighbours are nearest to each other, the oldest of equals; the two ends stay.
      So what stays is spread over the whole stream, at a stride that grows with it.
    """

    def __init__(
        self, budget: int, policy: Policy = "oldest", *, seed: int = 0, sinks: int = 0
    ) -> None:
        """`budget` is at least 1."""
        self._budget = budget
        self._policy = policy
        self._seed = seed
        self._sinks = sinks
        self._sunk: list[int] = []
        self._resident: list[int] = []

    def copy(self) -> Residency:
        """An independent one with the same patches."""
        twin = Residency(self._budget, self._policy, seed=self._seed, sinks=self._sinks)
        twin._sunk, twin._resident = list(self._sunk), list(self._resident)
        return twin

    @property
    def patches(self) -> list[int]:
        """All that are here, ascending."""
        return self._sunk + self._resident

    @property
    def sunk(self) -> list[int]:
        """Those that never leave, ascending."""
        return list(self._sunk)

    def admit(self, patch: int, first: int) -> list[int]:
        """Take in `patch`, seen through a window that begins at patch `first`; returns the patches that leave.

        Admitting the newest patch again only moves the window.
        """
        # A window of one frame begins behind the first frame of its own patch.
        first = min(first, patch)
        if patch in self._resident[-1:] or patch in self._sunk[-1:]:
            return self.move(first)
        if len(self._sunk) < self._sinks and not self._resident:
            self._sunk.append(patch)
            return []
        gone = self.move(first)
        while len(self._resident) >= self._budget:
            gone.append(self._resident.pop(self._victim(patch)))
        self._resident.append(patch)
        return gone

    def move(self, first: int) -> list[int]:
        """The window begins at patch `first` now; returns the patches that leave."""
        if self._policy != "oldest":
            return []
        keep = bisect_left(self._resident, first)
        gone, self._resident = self._resident[:keep], self._resident[keep:]
        return gone

    def _victim(self, patch: int) -> int:
        """Place in `_resident` of what leaves for `patch`."""
        count = len(self._resident)
        if self._policy == "oldest" or count < 2:
            return 0
        if self._policy == "random":
            return random.Random(f"{self._seed} {patch}").randrange(count)
        line = [*self._resident, patch]
        return min(range(1, count), key=lambda place: line[place + 1] - line[place - 1])
