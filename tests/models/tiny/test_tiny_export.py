"""An exported folder holds the checkpoint: same weights to half precision, same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsb.errors import ModelError
from dsb.models.tiny.answering import load_model
from dsb.models.tiny.architecture import build
from dsb.models.tiny.export import export, load_checkpoint
from dsb.models.tiny.vocabulary import VOCABULARY
from tiny_training import MINIATURE

torch.set_num_threads(1)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model: Any = build(MINIATURE.architecture, MINIATURE.seed)
    torch.save({"model": model.state_dict(), "cfg": {}, "step": 1}, tmp_path / "B.pt")
    return tmp_path / "B.pt"


def test_the_folder_holds_the_weights_of_the_checkpoint(tmp_path: Path, checkpoint: Path) -> None:
    export(checkpoint, tmp_path / "model")
    loaded = load_model(tmp_path / "model").state_dict()
    for name, tensor in load_checkpoint(checkpoint).state_dict().items():
        assert torch.equal(loaded[name], tensor.half().float()), name


def test_the_folder_loads_with_the_auto_classes(tmp_path: Path, checkpoint: Path) -> None:
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer

    out = tmp_path / "model"
    sizes = export(checkpoint, out)
    assert sizes == {file.name: file.stat().st_size for file in out.iterdir()}
    assert AutoConfig.from_pretrained(out).model_type == "qwen2_5_vl"
    assert AutoTokenizer.from_pretrained(out).get_vocab() == VOCABULARY
    assert AutoImageProcessor.from_pretrained(out).temporal_patch_size == 2


def test_an_export_replaces_the_folder_as_a_whole(tmp_path: Path, checkpoint: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "stale.bin").write_bytes(b"old")
    export(checkpoint, out)
    assert not (out / "stale.bin").exists()
    assert {p.name for p in tmp_path.iterdir()} == {"B.pt", "model"}


def test_two_exports_are_the_same_bytes(tmp_path: Path, checkpoint: Path) -> None:
    first, second = (tmp_path / "a", tmp_path / "b")
    export(checkpoint, first)
    export(checkpoint, second)
    names = {file.name for file in first.iterdir()}
    assert names == {file.name for file in second.iterdir()}
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_missing_or_wrong_checkpoint_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.pt is missing.*dsb\.models\.tiny\.train"):
        export(tmp_path / "none.pt", tmp_path / "model")
    torch.save({"visual": {}}, tmp_path / "A.pt")
    with pytest.raises(ModelError, match=r"A\.pt is not a checkpoint of stage B"):
        export(tmp_path / "A.pt", tmp_path / "model")
    assert not (tmp_path / "model").exists()
