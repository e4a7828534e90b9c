"""What a router is: features of a query -> a score -> a decision between S1 and S2.

`score` is pure: the same features give the same score in a run, in a replay and in a simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import JsonValue

from dsb.config.schema import Section
from dsb.routing.features import RouteFeatures, Stage

Action = Literal["s1", "s2"]
Settings = TypeVar("Settings", bound=Section)


@dataclass(frozen=True)
class RouteScore:
    """The estimated benefit of S2 over S1 on the router's own scale; larger means S2."""

    value: float
    #: Why, in a few words, for the log.
    reason: str = ""


@dataclass(frozen=True)
class Load:
    """How busy S2 is on the stream clock, with what this router has sent to it."""

    s2_waiting: int = 0
    """Queries at S2 that are not answered yet."""
    s2_backlog_s: float = 0.0
    """Seconds of stream time until S2 has answered all of them."""


@dataclass(frozen=True)
class Route:
    """The decision."""

    action: Action
    #: The score was compared with this.
    threshold: float
    #: Probability with which a randomised router takes this action; 1 for a deterministic one.
    propensity: float = 1.0


class Router(Protocol):
    """Decides which system answers."""

    @property
    def label(self) -> str:
        """Unique in a run; reports call the arm `router:<label>`."""

    @property
    def stage(self) -> Stage:
        """Whether it decides before S1 answers or looks at S1's answer."""

    def identity(self) -> Mapping[str, JsonValue]:
        """Everything that its decisions depend on beside features and load, defaults and the content of files
        included: part of the identity of a run.
        """

    def score(self, features: RouteFeatures) -> RouteScore:
        """Pure and replayable."""

    def decide(self, score: RouteScore, load: Load) -> Route:
        """Cheap; may look at the queue."""


@dataclass(frozen=True)
class RouterKind(Generic[Settings]):
    """What a registered name of a router stands for."""

    settings: type[Settings]
    """The section that `settings` of a configuration is validated by."""
    make: Callable[[str, Settings], Router]
    """From label and settings to a router."""


#: A kind whatever its settings.
AnyKind = RouterKind[Any]


class NoSettings(Section):
    """Of a router that has none."""
