"""What a router is: features of a query -> a score -> a decision between S1 and S2.

`score` is pure: the same features give the same score in a run, in a replay and in a simulation. Routers never
see a gold answer, a task label or a video id, so `RouteFeatures` does not hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Stage = Literal["before_s1", "after_s1"]
Action = Literal["s1", "s2"]


@dataclass(frozen=True)
class S1Signals:
    """What S1's own answer says about itself."""

    #: Probability that S1 gives to its answer, in [0, 1]; `None` if unknown.
    confidence: float | None
    #: Difference between the two likeliest candidates or tokens, in [0, 1]; `None` if unknown.
    margin: float | None
    #: Shannon entropy of the candidates in nats; `None` if unknown.
    entropy: float | None
    #: S1 itself asked for S2.
    need_s2: bool
    #: The answer as text.
    text: str


@dataclass(frozen=True)
class RouteFeatures:
    """All that a router may look at for one query (or one tick of a standing instruction)."""

    question: str
    options: tuple[str, ...]
    #: Stream seconds since the session began.
    t_s: float
    #: It is a tick of a standing instruction.
    standing: bool
    #: Turns of the dialogue before this question.
    history_turns: int
    #: Present from the stage `after_s1` on.
    s1: S1Signals | None = None


@dataclass(frozen=True)
class RouteScore:
    """The estimated benefit of S2 over S1 on the router's own scale; larger means S2."""

    value: float
    #: Why, in a few words, for the log.
    reason: str = ""


@dataclass(frozen=True)
class Load:
    """How busy S2 is."""

    s2_waiting: int = 0


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
    def name(self) -> str:
        """Unique in a run; reports call the arm `router:<name>`."""

    @property
    def stage(self) -> Stage:
        """Whether it decides before S1 answers or looks at S1's answer."""

    def score(self, features: RouteFeatures) -> RouteScore:
        """Pure and replayable."""

    def decide(self, score: RouteScore, load: Load) -> Route:
        """Cheap; may look at the queue."""
