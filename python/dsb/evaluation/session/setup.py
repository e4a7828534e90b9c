"""What the sessions of a run share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dsb.config.schema import RunConfig
from dsb.models.backend import Backend
from dsb.routing.router import Router
from dsb.stream.decoding import Decoding


@dataclass(frozen=True)
class RunSetup:
    """What the sessions of a run share."""

    config: RunConfig
    #: `s1` and `s2` -> its loaded model; the same object where they share one.
    backends: Mapping[str, Backend]
    #: The deciding router first.
    routers: Sequence[Router]
    decoding: Decoding = field(default_factory=Decoding)
