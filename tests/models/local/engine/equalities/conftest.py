"""A stream that every model family watches, and what a full recomputation says about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from dsb.models.local.backend import LocalBackend
from dsb.models.local.families import FAMILIES
from engine_answers import COUNT
from engine_reference import Reference
from local_streams import FPS, Stream, load, random_frames, write_video
from random_checkpoints import write_checkpoint

#: Backend name of each model type.
BACKENDS = {kind: backend for backend, kinds in FAMILIES.items() for kind in kinds}


# A session, so that all files of this folder ask one model of a family before the next one is loaded.
@pytest.fixture(scope="session", params=sorted(BACKENDS))
def family(request: pytest.FixtureRequest) -> str:
    """A model type."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def backend(family: str, tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    return load(write_checkpoint(tmp_path_factory.mktemp(family), family), "kv", BACKENDS[family])


@pytest.fixture(scope="session")
def size(backend: LocalBackend) -> tuple[int, int]:
    return backend.family.frame_size((90, 60))


@pytest.fixture(scope="session")
def stream(size: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(COUNT, size))
    opened = Stream.open(path, size, COUNT)
    yield opened
    opened.source.close()


@pytest.fixture(scope="session")
def reference(backend: LocalBackend, size: tuple[int, int]) -> Reference:
    return Reference(backend, random_frames(COUNT, size), FPS)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def evicting(backend: LocalBackend) -> None:
    if not backend.family.evicts:
        pytest.skip("linear-attention layers fold frames into one state, which none can leave")
