"""A router that goes by how far back a question looks: what S1's window holds is S1's, the rest is S2's.

"What color is the star now?" is about the present, "Where was it 20 seconds ago?" about twenty seconds, and "How many
times did it appear?" about everything since the stream began, which is little while the stream is young.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, JsonValue

import dsb

_AGO = re.compile(r"(\d+(?:\.\d+)?) seconds? ago", re.IGNORECASE)
#: Words about something in the past that may have been at any time.
_PAST = re.compile(r"\b(?:was|were|did|had|has|have|appeared|first|ever)\b", re.IGNORECASE)


class LookBackSettings(dsb.Section):
    """Settings of `look_back`."""

    s1_sees_s: float = Field(8.0, gt=0)
    """Seconds that S1's window reaches back; what looks back further goes to S2."""
    patience_s: float = Field(60.0, ge=0)
    """Everything goes to S1 while S2 needs longer than this for what it has to do already."""


def look_back_s(question: str, t_s: float) -> float:
    """Seconds of the stream, at `t_s` since it began, that the words of `question` are about."""
    if ago := _AGO.search(question):
        return min(float(ago[1]), t_s)
    return t_s if _PAST.search(question) else 0.0


@dataclass(frozen=True)
class LookBack:
    """Score = seconds that the question looks back."""

    label: str
    settings: LookBackSettings
    stage: Literal["before_s1"] = "before_s1"

    def identity(self) -> Mapping[str, JsonValue]:
        """The settings with their defaults: other ones make another run."""
        return self.settings.model_dump()

    def score(self, features: dsb.RouteFeatures) -> dsb.RouteScore:
        """By the words and the time of the question alone, so it can be replayed from a log."""
        seconds = look_back_s(features.question, features.t_s)
        return dsb.RouteScore(seconds, f"looks {seconds:g} s back")

    def decide(self, score: dsb.RouteScore, load: dsb.Load) -> dsb.Route:
        """S2 for what S1's window does not hold, unless S2 is too busy."""
        reach, patience = self.settings.s1_sees_s, self.settings.patience_s
        s2 = score.value > reach and load.s2_backlog_s <= patience
        return dsb.Route("s2" if s2 else "s1", threshold=reach)


#: What the entry point in `pyproject.toml` names: how settings are checked, and how a router is made of them.
LOOK_BACK = dsb.RouterKind(LookBackSettings, LookBack)
