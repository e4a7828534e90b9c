"""What the conversations of one session share."""

from __future__ import annotations

from dataclasses import dataclass, field

from dsb.models.backend import Counters
from dsb.models.local.engine.prefill_once import PrefillOnce
from dsb.models.local.vision.encode_once import EncodeOnce


@dataclass
class Session:
    """What the conversations of one session share."""

    counters: Counters = field(default_factory=Counters)
    #: Per frame size.
    caches: dict[tuple[int, int], EncodeOnce] = field(default_factory=dict)
    #: By system and frame size, those that `window.kv: view` may look into.
    prefills: dict[tuple[str, tuple[int, int]], PrefillOnce] = field(default_factory=dict)
    #: How many are open.
    conversations: int = 0
