"""A small model and a small video for the sessions of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

import videos
from random_checkpoints import write_checkpoint
from videos import Video


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model"), "qwen2_5_vl")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the videos."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def constant(data: Path) -> Video:
    return videos.constant(data)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"
