"""The systems of one session, as the configuration asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from dsb._core import WindowSpec
from dsb.config.schema import BLIND, RunConfig, SystemConfig, WindowConfig
from dsb.memory.record import Memory
from dsb.models.backend import Backend, StreamSpec
from dsb.stream.window import window_spec
from dsb.systems.system import System


def system_configs(config: RunConfig) -> dict[str, tuple[SystemConfig, str]]:
    """Per system name: its settings and the system whose backend it uses (`s1` or `s2`)."""
    configs = {"s1": (config.system.s1, "s1"), "s2": (config.system.s2, "s2")}
    if config.system.blind:
        configs[BLIND] = (config.system.s2.model_copy(update={"retrieve": 0}), "s2")
    return configs


def longest_window(config: RunConfig) -> WindowConfig:
    """The larger of the two windows, in frames."""
    return max(config.system.s1.window, config.system.s2.window, key=lambda each: each.max_frames)


def open_systems(
    config: RunConfig,
    backends: Mapping[str, Backend],
    session: str,
    size: tuple[int, int],
    fps: Fraction,
    memory: Memory | None,
    *,
    live: bool = False,
) -> dict[str, System]:
    """Open a conversation per system on the backend of S1 or S2.

    `size` is (width, height) of the frames in pixels, `fps` the sampling rate of the stream, `backends` maps
    `s1` and `s2` to loaded models (the same object where they share one). Of a `live` stream frames may be missing.
    """
    systems: dict[str, System] = {}
    for name, (settings, owner) in system_configs(config).items():
        window = None if name == BLIND else window_of(settings.window)
        # A question that is played alone reads its window anew, wherever the playing began.
        kv = "strict" if config.stream.mode == "offline" else settings.window.kv
        conversation = backends[owner].open(StreamSpec(session, name, size, fps, window, kv, live))
        systems[name] = System(
            name,
            settings,
            conversation,
            memory=memory if name == "s2" else None,
            exchanges=config.memory.turns,
            seed=config.seed,
        )
    return systems


def window_of(window: WindowConfig) -> WindowSpec:
    """A configured window in the core's exact numbers."""
    return window_spec(max_frames=window.max_frames, span_s=window.span_s, fps=window.fps)
