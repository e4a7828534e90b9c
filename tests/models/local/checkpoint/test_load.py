"""Checkpoint folders: whole ones load as they are, and every other one is one clear error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from dsb.config.schema import CacheConfig, ModelConfig, RunConfig, SystemConfig, SystemsConfig
from dsb.errors import MissingDependency, ModelError
from dsb.models.build import fetch_missing, identify_models, open_backends
from dsb.models.local.backend import LOCAL, LocalBackend
from dsb.models.local.checkpoint.load import load_checkpoint
from dsb.models.local.checkpoint.placement import need_package
from dsb.models.local.engine.grammar import grammars_of
from dsb.models.local.families import backend_of
from random_checkpoints import WRITERS, write_checkpoint

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("sound"), "qwen2_5_vl", seed=1)


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(sound, tmp_path / "copy")


def load(folder: Path, **more: Any):
    return load_checkpoint(ModelConfig(**{"path": str(folder), "device": "cpu", **more}))


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **changes}), encoding="utf-8")


def refusal(folder: Path, **more: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder, **more)
    return str(caught.value)


# -- weights ---------------------------------------------------------------------------------------


def in_shards(folder: Path) -> list[Path]:
    model = AutoModelForImageTextToText.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="200KB")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 2
    return shards


def test_weights_in_shards_load(folder: Path, sound: Path) -> None:
    in_shards(folder)
    ids = torch.tensor([[1, 2, 3]])
    whole, parts = (load(each).family.model(input_ids=ids).logits for each in (sound, folder))
    assert torch.equal(whole, parts)


def test_a_missing_shard_of_the_older_format_is_named(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    files = {"one": "pytorch_model-00001-of-00002.bin", "two": "pytorch_model-00002-of-00002.bin"}
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": files}), encoding="utf-8")
    (folder / files["one"]).touch()
    assert f"lacks 1 of its 2 weight files: {files['two']}" in refusal(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    shards = in_shards(folder)
    shards[1].unlink()
    assert f"lacks 1 of its {len(shards)} weight files: {shards[1].name}" in refusal(folder)


def test_a_cut_off_file_is_named(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-100])
    assert f"has {len(whole) - 100} bytes instead of {len(whole)}" in refusal(folder)


def test_a_pointer_of_git_lfs_is_recognised(folder: Path) -> None:
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n")
    assert "git-lfs" in refusal(folder)


def test_a_damaged_header_is_an_error(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[8:12] = b"\xff\xff\xff\xff"
    (folder / WEIGHTS).write_bytes(content)
    assert "is damaged" in refusal(folder)


def test_a_folder_without_weights_is_an_error(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert "has no weights" in refusal(folder)


def test_a_weight_that_is_not_there_is_never_made_up(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = next(name for name in tensors if "layers.1.mlp.up_proj" in name)
    del tensors[name]
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    message = refusal(folder)
    assert "lacks 1 weights" in message
    assert "layers.1.mlp.up_proj.weight" in message


def test_weights_of_another_shape_are_named(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = next(name for name in tensors if "layers.1.mlp.up_proj" in name)
    rows, columns = tensors[name].shape
    tensors[name] = tensors[name][: rows // 2].contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    message = refusal(folder)
    assert "layers.1.mlp.up_proj.weight" in message
    assert f"({rows // 2}, {columns}) instead of ({rows}, {columns})" in message


def test_weights_that_nobody_uses_are_mentioned(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["model.language_model.layers.9.extra"] = torch.zeros(1)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    load(folder)
    assert "holds 1 weights that its model does not use" in caplog.text
    assert "layers.9.extra" in caplog.text


# -- files beside the weights ----------------------------------------------------------------------


def test_a_folder_without_a_config_is_no_checkpoint(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "it has no config.json" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", ['{"a": 1', "[1, 2]"])
def test_a_file_with_wrong_json_is_named(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    assert name in refusal(folder)


def test_a_folder_without_a_tokenizer_is_an_error(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (folder / name).unlink(missing_ok=True)
    assert "has no tokenizer" in refusal(folder)


def test_a_folder_without_a_chat_template_is_an_error(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    assert "has no chat template" in refusal(folder)


def test_a_chat_template_in_the_old_place_is_found(folder: Path) -> None:
    text = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").unlink()
    old = folder / "chat_template.json"
    old.write_text(json.dumps({"chat_template": text}), encoding="utf-8")
    assert load(folder).family.tokenizer.chat_template == text
    old.write_text(json.dumps({"template": text}), encoding="utf-8")
    assert "chat_template.json holds no chat_template" in refusal(folder)


def test_the_processor_may_be_a_section_of_one_file(folder: Path, sound: Path) -> None:
    old = folder / "preprocessor_config.json"
    settings = json.loads(old.read_text(encoding="utf-8"))
    old.unlink()
    assert "has no preprocessor_config.json" in refusal(folder)
    together = {"processor_class": "Qwen2_5_VLProcessor", "image_processor": settings}
    (folder / "processor_config.json").write_text(json.dumps(together), encoding="utf-8")
    assert load(folder).family.processor == load(sound).family.processor


# -- other models ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "instead"),
    [
        ({"model_type": "minicpmv"}, "openbmb/MiniCPM-V-4.6"),
        ({"model_type": "internvl_chat"}, "OpenGVLab/InternVL3-8B-hf"),
        ({"model_type": "llava_llama", "mm_vision_tower": "clip"}, "llava-hf/llava-1.5-7b-hf"),
        ({"model_type": "llava", "mm_vision_tower": "siglip"}, "llava-hf/llava-onevision-qwen2"),
        ({"model_type": "unheard_of", "auto_map": {"AutoConfig": "a.B"}}, "never run"),
    ],
)
def test_a_checkpoint_with_its_own_code_names_what_to_use(
    folder: Path, changes: dict[str, Any], instead: str
) -> None:
    edit(folder / "config.json", **changes)
    assert instead in refusal(folder)


def test_the_code_of_a_checkpoint_is_never_run(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    (folder / "own.py").write_text(f"open({str(trace)!r}, 'w')\nclass C: pass\n", encoding="utf-8")
    edit(
        folder / "config.json",
        auto_map={"AutoConfig": "own.C", "AutoModelForImageTextToText": "own.C"},
    )
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.C", "own.C"]})
    load(folder)
    assert not trace.exists()


def test_another_backend_of_ours_is_named(folder: Path) -> None:
    assert "set model.backend=qwen" in refusal(folder, backend="minicpm")


# -- placement -------------------------------------------------------------------------------------


def test_only_the_language_model_gets_our_attention(folder: Path) -> None:
    model = load(folder, attention="eager").family.model
    assert model.config.text_config._attn_implementation == "dsb_eager"
    assert model.config.vision_config._attn_implementation == "sdpa"


def test_precision_is_as_asked(folder: Path) -> None:
    for name in ("float32", "bfloat16", "float16"):
        assert load(folder, dtype=name).family.dtype == getattr(torch, name)


def test_two_models_do_not_touch_each_other(sound: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "other", "qwen2_vl", seed=2)
    ids = torch.tensor([[1, 2, 3]])
    first = load(sound).family.model
    alone = first(input_ids=ids).logits
    load(other, dtype="bfloat16", attention="eager")
    assert torch.equal(first(input_ids=ids).logits, alone)
    assert first.config.text_config._attn_implementation == "dsb_sdpa"


def test_two_systems_may_have_a_model_each(sound: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "other", "internvl")
    shared = ModelConfig(path=str(sound), device="cpu")
    own = ModelConfig(backend="internvl", path=str(other), device="cpu", dtype="bfloat16")
    two = RunConfig(model=shared, system=SystemsConfig(s1=SystemConfig(model=own)))
    described = identify_models(two.models, CacheConfig(), fetch_missing)
    assert (described["s1"]["family"], described["s1"]["dtype"]) == ("internvl", "bfloat16")
    assert described["s2"]["family"] == "qwen2_5_vl"
    opened = open_backends(two.models, CacheConfig())
    assert opened["s1"] is not opened["s2"]
    one = open_backends(RunConfig(model=shared).models, CacheConfig())
    assert one["s1"] is one["s2"]


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_what_identifies_a_model_is_known_without_its_weights(kind: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, kind)
    model = ModelConfig(backend=str(backend_of(kind)), path=str(folder), device="cpu")
    found = LOCAL.identify(model, CacheConfig())
    backend = LOCAL.open(model, CacheConfig())
    assert isinstance(backend, LocalBackend)
    family = backend.family
    assert found["family"] == family.model.config.model_type
    assert found["parameters"] == family.model.num_parameters()
    assert found["dtype"] == str(family.dtype).removeprefix("torch.")
    assert found["device"] == family.device.type
    assert found["span"] == family.span
    assert found["grammar"] == grammars_of(family).describe()


def test_a_map_of_devices_changes_no_result(sound: Path) -> None:
    pytest.importorskip("accelerate", reason="the extra `devices` is not installed")
    ids = torch.tensor([[1, 2, 3]])
    spread = load(sound, device="auto", device_map="auto").family.model
    here = load(sound, device=str(spread.device)).family.model
    ids = ids.to(spread.device)
    assert torch.allclose(spread(input_ids=ids).logits, here(input_ids=ids).logits, atol=1e-5)


@pytest.mark.parametrize("choice", ["flash", "eager"])
def test_other_attention_kernels_change_no_result(sound: Path, choice: str) -> None:
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    other = load(sound, attention=choice).family.model
    usual = load(sound, attention="sdpa").family.model
    assert torch.allclose(other(input_ids=ids).logits, usual(input_ids=ids).logits, atol=1e-5)


def test_a_device_and_a_map_of_devices_contradict_each_other(sound: Path) -> None:
    assert "leave one of them out" in refusal(sound, device="cpu", device_map="auto")


def test_a_device_that_is_not_there_is_an_error(sound: Path) -> None:
    assert "is no device" in refusal(sound, device="toaster")
    assert "GPUs" in refusal(sound, device="cuda:99")


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingDependency, match=r"pip install 'dualstreambench\[devices\]'"):
        need_package("no_such_package", "model.device_map='auto'", "devices")
