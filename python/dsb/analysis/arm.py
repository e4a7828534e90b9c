"""An arm: something that could have answered everything, and that is scored as if it had."""

from __future__ import annotations

from dataclasses import dataclass

from dsb.config.schema import BLIND

#: How the name of a router's arm begins in files and tables.
_ROUTER = "router:"


@dataclass(frozen=True)
class Arm:
    """A system, or a router that picks between S1 and S2; `str(arm)` is its name in files and tables."""

    name: str
    """`s1`, `s2`, `blind`, or the label of a router."""
    routes: bool = False
    """It is a router."""

    @classmethod
    def of(cls, text: str) -> Arm:
        """The arm whose `str` is `text`."""
        label = text.removeprefix(_ROUTER)
        return cls(label, routes=label != text)

    def __str__(self) -> str:
        return _ROUTER + self.name if self.routes else self.name

    @property
    def heading(self) -> str:
        """As a short heading of a table."""
        known = not self.routes and self.name in ("s1", "s2")
        return self.name.upper() if known else str(self)

    @property
    def blind(self) -> bool:
        """It is the control without pictures."""
        return self == Arm(BLIND)


S1, S2 = Arm("s1"), Arm("s2")
