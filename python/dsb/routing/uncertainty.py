"""Escalate when S1 is not sure of its own answer.

The cascade of FrugalGPT (Chen et al., 2305.05176) with S1's own probability as the score.
"""

from __future__ import annotations

from dataclasses import dataclass

from dsb.errors import RoutingError
from dsb.routing.router import Load, Route, RouteFeatures, RouteScore, Stage

#: S2 answers where S1 gives its answer less than 0.9.
DEFAULT_THRESHOLD = 0.1


@dataclass(frozen=True)
class S1Uncertainty:
    """Score = 1 - S1's confidence; S1 asking for S2 counts as no confidence at all."""

    name: str = "s1_uncertainty"
    threshold: float = DEFAULT_THRESHOLD
    stage: Stage = "after_s1"

    def score(self, features: RouteFeatures) -> RouteScore:
        """Raises `RoutingError` when S1's confidence is unknown."""
        if features.s1 is None or features.s1.confidence is None:
            raise RoutingError(
                f"router {self.name!r} needs S1's confidence, but S1's answer carries none; "
                "use `system.s1.answering: likelihood` or a router that works without it (`rule`)"
            )
        if features.s1.need_s2:
            return RouteScore(1.0, "S1 asked for S2")
        return RouteScore(
            1.0 - features.s1.confidence, f"S1 confidence {features.s1.confidence:.2f}"
        )

    def decide(self, score: RouteScore, load: Load) -> Route:
        """S2 above the threshold."""
        return Route("s2" if score.value > self.threshold else "s1", self.threshold)
