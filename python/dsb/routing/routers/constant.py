"""The two routers that never look: the ends of every cost-accuracy plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from dsb.routing.features import RouteFeatures, Stage
from dsb.routing.router import Action, Load, NoSettings, Route, RouterKind, RouteScore


@dataclass(frozen=True)
class Constant:
    """Always the same system."""

    label: str
    action: Action
    stage: Stage = "before_s1"

    def identity(self) -> Mapping[str, JsonValue]:
        """See `Router.identity`."""
        return {"always": self.action}

    def score(self, features: RouteFeatures) -> RouteScore:
        """1 for S2, 0 for S1."""
        return RouteScore(1.0 if self.action == "s2" else 0.0, "constant")

    def decide(self, score: RouteScore, load: Load) -> Route:
        """The constant action."""
        return Route(self.action, threshold=0.5)


#: S1 answers everything.
ALWAYS_S1 = RouterKind(NoSettings, lambda label, _: Constant(label, "s1"))
#: S2 answers everything.
ALWAYS_S2 = RouterKind(NoSettings, lambda label, _: Constant(label, "s2"))
