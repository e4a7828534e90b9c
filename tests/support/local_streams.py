"""A real decoded stream of random frames, and conversations over it, for tests of local models."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from children import run
from dsb._core import FrameSource, WindowSpec
from dsb.config.schema import CacheConfig, ModelConfig
from dsb.models.backend import (
    Backend,
    Conversation,
    Generation,
    Message,
    Reply,
    Request,
    StreamSpec,
)
from dsb.models.build import open_backend
from dsb.models.local.backend import LocalBackend
from dsb.stream.binary import find_ffmpeg
from dsb.stream.request import DecodeRequest
from dsb.stream.source import open_source
from dsb.stream.view import StreamView

NS_PER_S = 1_000_000_000
FPS = Fraction(2)


def write_video(path: Path, frames: NDArray[np.uint8]) -> Path:
    """`frames` (T, H, W, 3) as a lossless video at `FPS`."""
    _, height, width, _ = frames.shape
    command = [
        str(find_ffmpeg()), "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", str(FPS), "-i", "pipe:0", "-c:v", "ffv1", "-pix_fmt", "bgr0",
        str(path),
    ]  # fmt: skip
    run(command, input=frames.tobytes(), check=True)
    return path


def random_frames(count: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    width, height = size
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@dataclass
class Stream:
    """A decoded video whose frames all stay in the ring."""

    source: FrameSource
    size: tuple[int, int]

    @classmethod
    def open(cls, path: Path, size: tuple[int, int], count: int) -> Stream:
        stream = cls(open_source(DecodeRequest(path, FPS), capacity=count + 1), size)
        assert stream.source.frames.wait_until(count * NS_PER_S, timeout_s=60) == count
        return stream

    def shown_ns(self, frame: int) -> int:
        return int(frame * NS_PER_S / FPS)

    def view(self, frame: int) -> StreamView:
        """The view at the moment `frame` comes on screen."""
        return StreamView(self.source.frames, self.shown_ns(frame), timeout_s=60)

    def spec(self, system: str, window: WindowSpec | None, session: str = "session") -> StreamSpec:
        return StreamSpec(session, system, self.size, FPS, window)

    def observe(self, conversation: Conversation, start: int, stop: int) -> None:
        with self.source.frames.window(start, stop) as window:
            conversation.observe(window)

    def watcher(
        self,
        backend: Backend,
        frames: int,
        most: int = 6,
        system: str = "s1",
        session: str = "session",
    ) -> Conversation:
        """A conversation that has observed `[0, frames)`."""
        conversation = backend.open(self.spec(system, WindowSpec(max_frames=most), session))
        if frames:
            self.observe(conversation, 0, frames)
        return conversation

    def request(
        self,
        frame: int,
        text: str = "What color is the star now?",
        candidates: Sequence[str] = (),
        generation: Generation | None = None,
        history: Sequence[Message] = (),
        query: str = "q",
    ) -> Request:
        view = self.view(frame)
        messages = (*history, Message("user", text))
        return Request(
            query,
            view.t_ns,
            messages,
            view,
            tuple(candidates),
            generation or Generation(max_new_tokens=4),
        )


def load(
    folder: Path, reuse: Any = "embed", backend_name: str = "qwen", **cache: Any
) -> LocalBackend:
    model = ModelConfig(backend=backend_name, path=str(folder), device="cpu", threads=1)
    backend = open_backend(model, CacheConfig(reuse=reuse, **cache))
    assert isinstance(backend, LocalBackend)
    return backend


def content(reply: Reply) -> dict[str, object]:
    """Everything of a reply but its wall times."""
    return {
        field.name: getattr(reply, field.name)
        for field in dataclasses.fields(reply)
        if field.name != "timing"
    }
