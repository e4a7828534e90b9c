"""Escalate when S1 is not sure of its own answer.

The cascade of FrugalGPT (Chen et al., 2305.05176) with S1's own probability as the score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field, JsonValue

from dsb.config.schema import Section
from dsb.errors import RoutingError
from dsb.routing.features import RouteFeatures, Stage
from dsb.routing.router import Load, Route, RouterKind, RouteScore


class UncertaintySettings(Section):
    """Settings of `s1_uncertainty`."""

    threshold: float = Field(0.1, ge=0, le=1)
    """S2 answers where S1 gives its answer less than one minus this."""


@dataclass(frozen=True)
class S1Uncertainty:
    """Score = 1 - S1's confidence; S1 asking for S2 counts as no confidence at all."""

    label: str
    threshold: float
    stage: Stage = "after_s1"

    def identity(self) -> Mapping[str, JsonValue]:
        """See `Router.identity`."""
        return {"threshold": self.threshold}

    def score(self, features: RouteFeatures) -> RouteScore:
        """Raises `RoutingError` when S1's confidence is unknown."""
        s1 = features.s1
        if s1 is None or s1.certainty.confidence is None:
            raise RoutingError(
                f"router {self.label!r} needs S1's confidence, but S1's answer carries none; "
                "use `system.s1.answering: likelihood` or a router that works without it (`rule`)"
            )
        if s1.need_s2:
            return RouteScore(1.0, "S1 asked for S2")
        confidence = s1.certainty.confidence
        return RouteScore(1.0 - confidence, f"S1 confidence {confidence:.2f}")

    def decide(self, score: RouteScore, load: Load) -> Route:
        """S2 above the threshold."""
        return Route("s2" if score.value > self.threshold else "s1", self.threshold)


#: S2 where S1 is unsure.
S1_UNCERTAINTY = RouterKind(
    UncertaintySettings, lambda label, settings: S1Uncertainty(label, settings.threshold)
)
