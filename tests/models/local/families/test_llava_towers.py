"""LLaVA checkpoints with other vision towers and other choices of features than LLaVA-1.5."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dsb.config.schema import ModelConfig
from dsb.errors import ModelError
from dsb.models.local.checkpoint.load import Checkpoint, load_checkpoint
from random_checkpoints.llava import SIDE, write_with_tower
from random_checkpoints.parts import clip_config

SIGLIP = {
    **{key: value for key, value in clip_config(SIDE).items() if key != "projection_dim"},
    "model_type": "siglip_vision_model",
    "vision_use_head": False,
}
FRAME = torch.tensor(np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8))


def load(folder: Path) -> Checkpoint:
    return load_checkpoint(ModelConfig(backend="llava", path=str(folder), device="cpu", threads=1))


@pytest.mark.parametrize(
    ("tower", "layer", "strategy", "tokens"),
    [
        (clip_config(SIDE), -2, "default", 16),
        (clip_config(SIDE), -2, "full", 17),
        (clip_config(SIDE), 1, "default", 16),
        (SIGLIP, -1, "full", 16),
    ],
)
def test_the_features_are_those_that_the_configuration_names(
    tmp_path: Path, tower: dict[str, object], layer: int, strategy: str, tokens: int
) -> None:
    write_with_tower(tmp_path, 0, tower, layer, strategy)
    family = load(tmp_path).family
    assert family.grid((SIDE, SIDE)).tokens == tokens
    with torch.inference_mode():
        encoded = family.encode(FRAME)
        states = family.model.model.vision_tower(
            family.pixels(FRAME), output_hidden_states=True
        ).hidden_states[layer]
        chosen = states[:, 1:] if strategy == "default" else states
        expected = family.model.model.multi_modal_projector(chosen)
    torch.testing.assert_close(encoded, expected, rtol=0, atol=1e-5)


def test_a_tower_for_pictures_of_all_sizes_is_refused(tmp_path: Path) -> None:
    pixtral = {"model_type": "pixtral", "hidden_size": 32, "intermediate_size": 48}
    small = {"num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 14}
    write_with_tower(tmp_path, 0, {**pixtral, **small}, -1, "full")
    with pytest.raises(ModelError, match=r"'pixtral'.*llava-1\.5-7b-hf"):
        load(tmp_path)


def test_pictures_with_a_border_are_refused(tmp_path: Path) -> None:
    write_with_tower(tmp_path, 0, clip_config(SIDE), -2, "default")
    file = tmp_path / "preprocessor_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    padded = {**settings, "image_processor_type": "LlavaImageProcessorFast", "do_pad": True}
    file.write_text(json.dumps(padded), encoding="utf-8")
    with pytest.raises(ModelError, match="do_pad"):
        load(tmp_path)
