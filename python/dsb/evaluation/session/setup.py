"""What the sessions of a run share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dsb.config.schema import RunConfig
from dsb.models.backend import Backend
from dsb.routing.router import Action, Router
from dsb.stream.decoding import DecoderChoice


@dataclass(frozen=True)
class Rules:
    """Who answers questions and ticks, and what happens when somebody fails."""

    collect: Literal["routed", "both"]
    #: Route of a query whose router failed.
    fallback: Action
    #: Further tries of a query whose error may heal.
    retries: int
    #: A tick whose score is at least this is a wish to speak.
    threshold: float

    @classmethod
    def of(cls, config: RunConfig) -> Rules:
        """As the run is configured."""
        system = config.system
        return cls(
            collect=system.collect,
            fallback=system.scheduler.fallback,
            retries=config.output.retries,
            threshold=system.proactive.threshold,
        )


@dataclass(frozen=True)
class RunSetup:
    """What the sessions of a run share."""

    config: RunConfig
    #: `s1` and `s2` -> its loaded model; the same object where they share one.
    backends: Mapping[str, Backend]
    #: The deciding router first.
    routers: Sequence[Router]
    decoder: DecoderChoice = field(default_factory=DecoderChoice)
