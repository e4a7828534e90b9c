"""S1 and S2 share the frames of a stream, and may be different models."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsb.config.schema import CacheConfig, ModelConfig, VideoConfig
from dsb.errors import ConfigError
from dsb.evaluation.session.sizing import frame_size
from dsb.models.backend import Backend
from dsb.models.build import open_backend
from dsb.models.local.checkpoint.load import FAMILIES
from local_streams import random_frames, write_video
from random_checkpoints import write_checkpoint

KINDS = ("internvl", "llava", "qwen2_5_vl", "qwen3_vl")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backend]:
    names = {kind: name for name, kinds in FAMILIES.items() for kind in kinds}

    def model(kind: str) -> Backend:
        path = write_checkpoint(tmp_path_factory.mktemp(kind), kind)
        config = ModelConfig(backend=names[kind], path=str(path), device="cpu", threads=1)
        return open_backend(config, CacheConfig())

    return {kind: model(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(2, (160, 96)))


@pytest.mark.parametrize(
    ("s1", "s2", "size"),
    [
        # The square of InternVL would bend the picture for the other.
        ("internvl", "qwen3_vl", (160, 96)),
        ("qwen3_vl", "internvl", (160, 96)),
        # LLaVA's 93 pixels are no whole cells of the other.
        ("llava", "qwen2_5_vl", (140, 84)),
        ("internvl", "llava", (93, 56)),
        ("internvl", "internvl", (84, 84)),
    ],
)
def test_frames_have_a_size_that_both_models_take(
    models: dict[str, Backend], video: Path, s1: str, s2: str, size: tuple[int, int]
) -> None:
    chosen = frame_size(video, VideoConfig(), {"s1": models[s1], "s2": models[s2]})
    assert chosen == size
    assert all(models[each].takes(chosen) for each in (s1, s2))


def test_models_without_a_common_size_need_one_from_the_user(
    models: dict[str, Backend], video: Path
) -> None:
    both = {"s1": models["qwen2_5_vl"], "s2": models["qwen3_vl"]}
    with pytest.raises(ConfigError, match=r"s1 140x84, s2 160x96.*video\.width"):
        frame_size(video, VideoConfig(), both)
    assert frame_size(video, VideoConfig(width=224, height=224), both) == (224, 224)
