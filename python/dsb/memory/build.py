"""Memory as the configuration asks for it."""

from __future__ import annotations

from collections.abc import Callable

from dsb.config.schema import MemoryConfig
from dsb.memory.encoder import Encoder
from dsb.memory.record import Memory
from dsb.memory.store import LongTermMemory
from dsb.registry import Registry

ENCODERS: Registry[Callable[[], Encoder]] = Registry(
    "encoder", "dsb.encoders", {"hash": "dsb.memory.encoder:hash_encoder"}
)


def build_memory(config: MemoryConfig, stream: str) -> Memory | None:
    """An empty long-term memory for one stream, or `None` when the configuration keeps none."""
    if not config.long_term:
        return None
    factory = ENCODERS.load(config.encoder)
    return LongTermMemory(stream, factory())
