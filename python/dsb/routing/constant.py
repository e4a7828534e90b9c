"""The two routers that never look: the ends of every cost-accuracy plot."""

from __future__ import annotations

from dataclasses import dataclass

from dsb.routing.router import Action, Load, Route, RouteFeatures, RouteScore, Stage


@dataclass(frozen=True)
class Constant:
    """Always the same system."""

    name: str
    action: Action
    stage: Stage = "before_s1"

    def score(self, features: RouteFeatures) -> RouteScore:
        """1 for S2, 0 for S1."""
        return RouteScore(1.0 if self.action == "s2" else 0.0, "constant")

    def decide(self, score: RouteScore, load: Load) -> Route:
        """The constant action."""
        return Route(self.action, threshold=0.5)
