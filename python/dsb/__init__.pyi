"""What type checkers see of the names that `__init__.py` imports when they are first asked for."""

from dsb._core import Window
from dsb.analysis.verbs import run, score
from dsb.benchmarks.benchmark import Benchmark
from dsb.benchmarks.grading import Delivered, Grade
from dsb.benchmarks.item import Answer, Item, dump_items
from dsb.benchmarks.item_files import ItemFiles
from dsb.benchmarks.protocol import Protocol
from dsb.config.schema import CacheConfig, ModelConfig, Section
from dsb.evaluation.configuration import load_run_config as load_config
from dsb.memory.record import Memory
from dsb.models.backend import (
    Abilities,
    Backend,
    BackendKind,
    Conversation,
    Counters,
    Receipt,
    Reply,
    Request,
    StreamSpec,
    Timing,
    Turn,
    Usage,
)
from dsb.models.digest import InputDigest
from dsb.models.polling import Polling
from dsb.routing.features import RouteFeatures
from dsb.routing.router import Load, Route, Router, RouterKind, RouteScore
from dsb.runlog.run import open_run
from dsb.stream.view import StreamView

__all__ = [
    "Abilities",
    "Answer",
    "Backend",
    "BackendKind",
    "Benchmark",
    "CacheConfig",
    "Conversation",
    "Counters",
    "Delivered",
    "Grade",
    "InputDigest",
    "Item",
    "ItemFiles",
    "Load",
    "Memory",
    "ModelConfig",
    "Polling",
    "Protocol",
    "Receipt",
    "Reply",
    "Request",
    "Route",
    "RouteFeatures",
    "RouteScore",
    "Router",
    "RouterKind",
    "Section",
    "StreamSpec",
    "StreamView",
    "Timing",
    "Turn",
    "Usage",
    "Window",
    "__version__",
    "dump_items",
    "load_config",
    "open_run",
    "run",
    "score",
]

__version__: str
