"""Quantised language models: small, close to the original, and reuse still changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from dsb.config.schema import CacheConfig, ModelConfig
from dsb.errors import ModelError
from dsb.models.backend import Reply
from dsb.models.build import open_backend
from dsb.models.local.backend import LOCAL
from dsb.models.local.checkpoint.load import load_checkpoint
from local_streams import Stream, content, random_frames, write_video
from random_checkpoints import write_checkpoint
from random_checkpoints.parts import randomise

SIZE = (56, 56)
FRAMES = 7
#: Root mean square of the error of logits, relative to that of the logits of these random weights.
TOLERANCE = {"int8": 0.06, "int4": 0.6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With layers whose inputs are multiples of 64, as 4-bit kernels want them and real models have them."""
    folder = write_checkpoint(tmp_path_factory.mktemp("checkpoint"), "qwen2_5_vl", seed=4)
    config = AutoConfig.from_pretrained(folder)
    config.text_config.intermediate_size = 128
    randomise(AutoModelForImageTextToText.from_config(config), 4).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = tmp_path_factory.mktemp("video") / "video.mkv"
    write_video(path, random_frames(FRAMES, SIZE))
    stream = Stream.open(path, SIZE, FRAMES)
    with stream.source:
        yield stream


@pytest.fixture(params=["int8", "int4"])
def bits(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("accelerate", reason="the extra `quantization` is not installed")
    package = {"int8": "torchao", "int4": "bitsandbytes"}[request.param]
    pytest.importorskip(package, reason="the extra `quantization` is not installed")
    return request.param


def config(folder: Path, bits: str = "none", dtype: str = "float32") -> ModelConfig:
    return ModelConfig(path=str(folder), device="cpu", threads=1, quantization=bits, dtype=dtype)


def stored_bytes(weight: torch.Tensor) -> int:
    """What a weight takes in memory, wrapped or not."""
    if not hasattr(weight, "__tensor_flatten__"):
        return weight.nbytes
    names, _ = weight.__tensor_flatten__()
    return sum(getattr(weight, name).nbytes for name in names)


def test_the_language_model_is_small_and_the_rest_as_it_was(folder: Path, bits: str) -> None:
    model = load_checkpoint(config(folder, bits)).family.model
    plain = load_checkpoint(config(folder)).family.model
    least = {"int8": 3, "int4": 7}[bits]
    name = "layers.0.mlp.down_proj"
    small, large = (
        stored_bytes(each.model.language_model.get_submodule(name).weight)
        for each in (model, plain)
    )
    assert large > least * small
    for part in (model.model.visual, model.lm_head):
        assert all(each.dtype == torch.float32 for each in part.parameters())
    seen = torch.rand(16, 1176), torch.tensor([[1, 4, 4]])
    now, then = (
        each.model.get_video_features(*seen, return_dict=True).pooler_output[0]
        for each in (model, plain)
    )
    assert torch.equal(now, then)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_logits_stay_close(folder: Path, bits: str, dtype: str) -> None:
    ids = torch.arange(20, 84)[None]
    quantized, plain = (
        load_checkpoint(config(folder, each, dtype)).family.model(input_ids=ids).logits.float()
        for each in (bits, "none")
    )
    error = (quantized - plain).pow(2).mean().sqrt() / plain.pow(2).mean().sqrt()
    assert 0 < error < TOLERANCE[bits]


def test_reuse_changes_no_answer(folder: Path, stream: Stream, bits: str) -> None:
    def replies(reuse: str) -> list[Reply]:
        backend = open_backend(config(folder, bits), CacheConfig(reuse=reuse))
        watcher = stream.watcher(backend, 0, most=FRAMES)
        answers = []
        for frame in range(FRAMES):
            stream.observe(watcher, frame, frame + 1)
            answers.append(watcher.ask(stream.request(frame)))
            answers.append(watcher.ask(stream.request(frame, candidates=("A", "B"))))
        return answers

    embed, kv = replies("embed"), replies("kv")
    assert [each.text for each in embed] == [each.text for each in kv]
    for one, other in zip(embed, kv, strict=True):
        for name in ("candidate_logprobs", "token_logprobs"):
            expected = content(one)[name]
            assert content(other)[name] == pytest.approx(expected, abs=1e-3)


def test_quantised_weights_are_not_compiled(folder: Path, bits: str) -> None:
    compiled = config(folder, bits).model_copy(update={"compile": True})
    with pytest.raises(ModelError, match=r"quantised weights.*model\.compile=false"):
        open_backend(compiled, CacheConfig())


def test_a_run_says_with_what_its_model_is_quantised(folder: Path, bits: str) -> None:
    small, plain = (LOCAL.identify(config(folder, each), CacheConfig()) for each in (bits, "none"))
    package = {"int8": "torchao", "int4": "bitsandbytes"}[bits]
    assert str(small["quantization"]).startswith(f"{bits} ({package} ")
    assert plain["quantization"] == "none"
    assert small["parameters"] == plain["parameters"]


def test_a_checkpoint_that_is_quantised_already_runs_as_it_is(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="the extra `quantization` is not installed")
    pytest.importorskip("bitsandbytes", reason="the extra `quantization` is not installed")
    fresh = load_checkpoint(config(folder, "int4")).family.model
    copy = tmp_path / "small"
    shutil.copytree(folder, copy)
    fresh.save_pretrained(copy)
    stored = load_checkpoint(config(copy)).family.model
    assert type(stored.model.language_model.layers[0].mlp.down_proj).__name__ == "Linear4bit"
    ids = torch.arange(20, 84)[None]
    assert torch.equal(stored(input_ids=ids).logits, fresh(input_ids=ids).logits)


def test_a_quantised_checkpoint_is_not_quantised_again(tmp_path: Path, bits: str) -> None:
    copy = write_checkpoint(tmp_path / "copy", "qwen2_5_vl")
    written = AutoConfig.from_pretrained(copy)
    written.quantization_config = {"quant_method": "awq"}
    written.save_pretrained(copy)
    with pytest.raises(ModelError, match="quantised already"):
        load_checkpoint(config(copy, bits))


def test_what_a_cpu_cannot_do_in_4_bits_is_said(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `quantization` is not installed")
    odd = write_checkpoint(tmp_path / "odd", "qwen2_5_vl")
    with pytest.raises(ModelError, match=r"multiple of 64 inputs, and .*down_proj is not one"):
        load_checkpoint(config(odd, "int4"))


def test_a_mixture_whose_experts_would_stay_large_is_refused(tmp_path: Path, bits: str) -> None:
    mixture = write_checkpoint(tmp_path / "mixture", "qwen3_vl_moe")
    with pytest.raises(ModelError, match=r"leaves \d\d% of the language model as it was"):
        load_checkpoint(config(mixture, bits))
