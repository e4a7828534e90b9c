"""What a router may see of a query, built once for questions and ticks alike.

No gold answer, task label or video id is among it, so a router cannot reach them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from dsb.models.certainty import Certainty

Stage = Literal["before_s1", "after_s1"]


@dataclass(frozen=True)
class S1Signals:
    """What S1's own answer says."""

    certainty: Certainty
    """How sure it is of itself."""
    need_s2: bool
    """S1 itself asked for S2."""
    text: str
    """The answer; at a tick where S1 says nothing, its decision."""


@dataclass(frozen=True)
class RouteFeatures:
    """All that a router may look at for one query (or one tick of a standing instruction)."""

    question: str
    """Its text."""
    options: tuple[str, ...]
    """Texts of the options; empty for an open question."""
    t_s: float
    """Stream seconds since the session began."""
    standing: bool = False
    """It is a tick of a standing instruction."""
    exchanges_before: int = 0
    """Exchanges of the dialogue before this question."""
    s1: S1Signals | None = None
    """Present from the stage `after_s1` on, unless S1 gave no answer."""

    def at(self, stage: Stage) -> RouteFeatures:
        """What a router of this stage sees."""
        return self if stage == "after_s1" else replace(self, s1=None)

    def hash(self) -> str:
        """16 hex digits over the canonical JSON, equal on every machine."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
