"""Which files a checkpoint needs, files that came by hand, and the hub that is not installed here."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from dsb.errors import MissingDependency
from dsb.models.store import layout, manifest
from dsb.models.store.catalog import entries
from dsb.models.store.choose import needed
from dsb.models.store.fetch import fetch
from random_checkpoints import write_checkpoint

ID = "tiny/vl"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("hub") / "vl", "qwen2_5_vl")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DSB_MODEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# -- which files -----------------------------------------------------------------------------------


def test_shards_come_with_their_index_and_without_the_same_weights_in_other_files():
    wanted = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.model",
    ]
    others = [
        "consolidated.safetensors",
        "pytorch_model-00001-of-00001.bin",
        "pytorch_model.bin.index.json",
        "original/consolidated.00.pth",
        "LICENSE.txt",
        "preview.png",
        ".gitattributes",
    ]
    assert needed(wanted + others) == wanted


def test_one_file_of_weights_is_enough():
    both = ["model.safetensors", "model-00001-of-00001.safetensors", "model.safetensors.index.json"]
    assert needed(both) == ["model.safetensors"]


def test_old_weights_are_taken_where_there_are_no_others():
    files = ["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json", "optimizer.bin"]
    assert needed(files) == files[:2]


# -- by hand ---------------------------------------------------------------------------------------


def test_files_put_there_by_hand_are_found_by_their_id(cache, checkpoint):
    shutil.copytree(checkpoint, layout.folder_of(ID))
    assert layout.find(ID) == layout.folder_of(ID)
    [listed] = entries(layout.cache_dir())
    assert (listed.id, listed.hub, listed.complete) == (ID, None, True)
    assert (listed.family, listed.backend) == ("qwen2_5_vl", "qwen")
    (layout.folder_of(ID) / WEIGHTS).write_bytes(b"\x10" + bytes(7) + b"not json at all.")
    assert not entries(layout.cache_dir())[0].complete


# -- ModelScope ------------------------------------------------------------------------------------


def test_modelscope_says_what_to_install(cache, checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(MissingDependency, match=r"pip install .*\[modelscope\]"):
        fetch(ID, hub="modelscope")


def test_modelscope_is_asked_for_the_needed_files_of_a_revision(cache, checkpoint, monkeypatch):
    """Its client is not part of the test environment: this stands where its two functions would."""
    source, asked = checkpoint, []

    class Api:
        @staticmethod
        def get_model_files(model_id, revision=None, root=None, recursive=True):
            paths = [path for path in source.rglob("*") if path.is_file()]
            return [
                {"Path": str(path.relative_to(source)), "Size": path.stat().st_size, "Type": "blob"}
                for path in paths
            ]

    def snapshot_download(model_id, revision=None, *, local_dir=None, allow_patterns=None):
        asked.append((model_id, revision, *allow_patterns))
        for pattern in allow_patterns:
            shutil.copyfile(source / pattern, Path(local_dir) / pattern)
        return local_dir

    for name, content in {
        "modelscope": {},
        "modelscope.hub": {},
        "modelscope.hub.api": {"HubApi": Api},
        "modelscope.hub.snapshot_download": {"snapshot_download": snapshot_download},
    }.items():
        module = type(sys)(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    done = fetch(ID, hub="modelscope", revision="v1.0")
    assert (done.manifest.hub, done.manifest.revision) == ("modelscope", "v1.0")
    [(model, revision, *patterns)] = asked
    assert (model, revision) == (ID, "v1.0")
    assert sorted(patterns) == [each.path for each in done.manifest.files]
    assert layout.find(ID, "modelscope") == done.folder
    assert json.loads((done.folder / manifest.NAME).read_text())["hub"] == "modelscope"
