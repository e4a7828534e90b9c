"""`dsb models check`: what a model will need, before it is loaded; against published shapes and the engine itself."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import transformers

from dsb.config.schema import CacheConfig, RunConfig
from dsb.errors import ConfigError, ModelError
from dsb.models.backend import StreamSpec
from dsb.models.local.backend import LocalBackend
from dsb.models.local.checkup import footprint
from dsb.models.local.checkup.accelerators import Device, known, of_gpu
from dsb.models.local.checkup.examine import examine
from dsb.models.local.checkup.roofline import (
    Speed,
    Work,
    attention_flops,
    language_flops,
    vision_flops,
)
from dsb.stream.window import window_spec
from random_checkpoints import WRITERS, write_checkpoint

BF16 = 2
#: As in the config.json of the public checkpoints.
QWEN2_7B = {
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
}  # fmt: skip
LLAMA_7B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
    "vocab_size": 32064,
}  # fmt: skip
SHAPES = {
    "qwen2_5_vl": {
        "text_config": QWEN2_7B,
        "vision_config": {
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
            "out_hidden_size": 3584, "patch_size": 14, "spatial_merge_size": 2, "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        "tie_word_embeddings": False,
    },
    "qwen3_vl": {
        "text_config": {
            "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
            "vocab_size": 151936,
        },
        "vision_config": {
            "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16,
            "out_hidden_size": 4096, "deepstack_visual_indexes": [8, 16, 24],
        },
        "tie_word_embeddings": False,
    },
    "llava_onevision": {"text_config": {"model_type": "qwen2", **QWEN2_7B}},
    "llava_next_video": {"text_config": LLAMA_7B},
    "llava": {"text_config": LLAMA_7B},
    "internvl": {"text_config": {"model_type": "qwen2", **QWEN2_7B}},
}  # fmt: skip
H200 = Speed(flops=989e12, bandwidth=4.8e12)


def config_of(model_type: str):
    return transformers.AutoConfig.for_model(model_type, **SHAPES[model_type])


@pytest.fixture(scope="module")
def qwen_7b():
    """Qwen2.5-VL-7B without weights."""
    with torch.device("meta"):
        return transformers.AutoModelForImageTextToText.from_config(
            config_of("qwen2_5_vl"), dtype=torch.bfloat16
        )


# -- published shapes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "tokens", "span", "megabytes"),
    [
        ("qwen2_5_vl", 256, 2, 7.34),
        ("qwen3_vl", 196, 2, 14.45),
        ("llava_onevision", 196, 1, 11.24),
        ("llava_next_video", 144, 1, 75.5),
        ("llava", 576, 1, 302),
        ("internvl", 256, 1, 14.68),
    ],
)
def test_keys_and_values_of_a_frame(model_type, tokens, span, megabytes):
    per_token = footprint.kv_bytes_per_token(config_of(model_type).get_text_config(), BF16)
    assert per_token * tokens / span / 1e6 == pytest.approx(megabytes, rel=3e-3)


def test_keys_and_values_of_a_token_of_qwen_7b():
    assert footprint.kv_bytes_per_token(config_of("qwen2_5_vl").get_text_config(), BF16) == 57_344


def test_only_attention_layers_of_a_hybrid_keep_keys_and_values():
    text = transformers.AutoConfig.for_model(
        "qwen3_5_text", num_hidden_layers=8, num_key_value_heads=2, head_dim=64
    )
    assert text.layer_types.count("full_attention") == 2
    assert footprint.kv_bytes_per_token(text, BF16) == 2 * 2 * 2 * 64 * BF16
    assert footprint.state_bytes(text, BF16) > 0
    assert footprint.state_bytes(config_of("llava").get_text_config(), BF16) == 0


@pytest.mark.parametrize(
    ("tokens", "width", "depth", "megabytes"), [(256, 3584, 0, 1.835), (196, 4096, 3, 6.42)]
)
def test_an_encoded_pair_of_frames(tokens, width, depth, megabytes):
    found = footprint.embedding_bytes(tokens, width, depth, BF16)
    assert found / 1e6 == pytest.approx(megabytes, rel=2e-3)


def test_parameters_of_qwen_7b(qwen_7b):
    counted = footprint.count_parameters(qwen_7b)
    assert counted.total == 8_292_166_656
    assert counted.head == counted.embedding == 152_064 * 3584
    assert footprint.weights_bytes(counted, BF16) == 2 * counted.total
    int8 = footprint.weights_bytes(counted, BF16, "int8")
    assert int8 == 2 * counted.total - counted.linear
    assert int8 > footprint.weights_bytes(counted, BF16, "int4") > counted.total // 2


def test_tied_embeddings_count_once_and_are_read_once():
    small = dict(SHAPES["llava"]["text_config"], num_hidden_layers=1, tie_word_embeddings=True)
    config = transformers.AutoConfig.for_model("llava", text_config=small, tie_word_embeddings=True)
    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(config)
    counted = footprint.count_parameters(model)
    assert counted.head == counted.embedding
    assert counted.total == sum(each.numel() for each in model.parameters())


# -- the roofline ----------------------------------------------------------------------------------


def test_floors_of_qwen_7b_on_an_h200(qwen_7b):
    """Worked out by hand for bfloat16 and 448x448: 256 tokens a pair, 1024 rows of the tower."""
    counted = footprint.count_parameters(qwen_7b)
    work = Work(
        text=qwen_7b.config.get_text_config(),
        vision=qwen_7b.config.vision_config,
        parameters=counted,
        itemsize=BF16,
        read_bytes=footprint.decode_bytes(counted, BF16),
        patch_tokens=256,
        vision_rows=1024,
        vision_images=1,
        context=38_400,
        question=64,
    )
    floors = work.floors(H200)
    assert floors.encode_s * 1e3 == pytest.approx(3.4, rel=0.01)
    assert floors.prefill_first_s * 1e3 == pytest.approx(6.8, rel=0.01)
    assert floors.decode_s * 1e3 == pytest.approx(3.4, rel=0.01)
    assert work.read_bytes / H200.bandwidth * 1e3 == pytest.approx(2.95, rel=0.002)


def test_operations_of_a_pair_of_frames(qwen_7b):
    counted = footprint.count_parameters(qwen_7b)
    text, vision = qwen_7b.config.get_text_config(), qwen_7b.config.vision_config
    assert vision_flops(vision, counted, 1024, 1, 256) / 1e12 == pytest.approx(1.34, rel=0.01)
    assert language_flops(text, counted, 256, 0) / 1e12 == pytest.approx(3.34, rel=0.01)
    later = language_flops(text, counted, 256, 16_384) - language_flops(text, counted, 256, 0)
    assert later / 1e12 == pytest.approx(1.7, rel=0.02)


def test_operations_of_the_language_model_are_those_that_torch_counts(tmp_path):
    from torch.utils.flop_counter import FlopCounterMode

    backend = LocalBackend(
        RunConfig().model.model_copy(
            update={"path": str(write_checkpoint(tmp_path, "qwen2_5_vl")), "attention": "sdpa"}
        ),
        CacheConfig(),
    )
    language = backend.family.model.model.language_model
    text = backend.family.model.config.get_text_config()
    counted = footprint.count_parameters(backend.family.model)
    rows = 32
    stock = type(language)(text).eval()
    stock.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        stock(inputs_embeds=torch.zeros(1, rows, text.hidden_size), use_cache=False)
    # Stock attention computes the whole square, of which the causal half is needed.
    width = text.num_attention_heads * footprint.head_width(text)
    square = 4 * text.num_hidden_layers * width * rows * rows
    half = attention_flops(text.num_hidden_layers, width, rows, 0)
    ours = language_flops(text, counted, rows, 0) + square - half
    # The rotary embedding is a small product of its own.
    assert counter.get_total_flops() == pytest.approx(ours, rel=0.01)


# -- against the engine ----------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", WRITERS)
def test_the_memory_that_check_names_is_what_the_engine_takes(model_type, tmp_path):
    folder = write_checkpoint(tmp_path / "checkpoint", model_type)
    config = RunConfig.model_validate(
        {"model": {"path": str(folder)}, "system": {"s2": {"window": {"max_frames": 40}}}}
    )
    found = examine(folder, config, Device("cpu", 1 << 34), (128, 96))
    assert found.problems == ()
    model = config.model.model_copy(update={"backend": found.backend})
    backend = LocalBackend(model, config.system.streaming_embed_cache)
    parameters = {id(each): each for each in backend.family.model.parameters()}.values()
    assert found.memory.weights == sum(each.nbytes for each in parameters)
    size = backend.frame_size((128, 96))
    assert found.patch.size == size
    for system in found.systems:
        frames = {"s1": 8, "s2": 40, "blind": None}[system.name]
        window = None if frames is None else window_spec(max_frames=frames)
        spec = StreamSpec("a", system.name, size, Fraction(1), window)
        taken = backend.open(spec)._prefill.kv_bytes
        state = footprint.state_bytes(backend.family.model.config.get_text_config(), 4)
        assert system.arena_bytes == taken + state


def test_the_state_of_a_hybrid_is_as_large_as_check_says(tmp_path):
    folder = write_checkpoint(tmp_path, "minicpmv4_6")
    model = RunConfig().model.model_copy(update={"path": str(folder), "backend": "minicpm"})
    backend = LocalBackend(model, CacheConfig())
    size = backend.frame_size((128, 96))
    spec = StreamSpec("a", "s1", size, Fraction(1), window_spec(max_frames=4))
    context = backend.open(spec)._prefill._context
    with torch.inference_mode():
        context.append((1, 2, 3), [])
    text = backend.family.model.config.get_text_config()
    assert context.arena.recurrent.snapshot().nbytes == footprint.state_bytes(text, 4)


# -- what is wrong ---------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return write_checkpoint(tmp_path / "vl", "qwen2_5_vl")


def check(folder: Path, **config: object):
    return examine(folder, RunConfig.model_validate(config), known("h200"), (448, 448))


def test_a_model_that_is_too_large_does_not_fit(checkpoint):
    config = RunConfig()
    found = examine(checkpoint, config, Device("small", 1 << 20), (448, 448))
    assert not found.fits
    assert found.floors is None
    enough = Device("enough", found.memory.total)
    assert examine(checkpoint, config, enough, (448, 448)).fits


def test_a_damaged_weight_file_is_a_problem(checkpoint):
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    [problem] = check(checkpoint).problems
    assert "model.safetensors has" in problem


def test_a_missing_shard_is_a_problem(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "model-00001-of-00002.safetensors")
    index = {
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00002-of-00002.safetensors",
        }
    }
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    [problem] = check(checkpoint).problems
    assert "model-00002-of-00002.safetensors" in problem


def test_weights_of_a_smaller_model_are_a_problem(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] += 1
    config["text_config"].pop("layer_types", None)
    (checkpoint / "config.json").write_text(json.dumps(config))
    [problem] = check(checkpoint).problems
    assert "they are of two checkpoints" in problem


def test_a_budget_that_is_too_small_is_a_problem_and_the_need_is_still_named(checkpoint):
    cache = {"arena_bytes": 1000}
    found = check(checkpoint, system={"streaming_embed_cache": cache})
    assert "arena_bytes" in found.problems[0]
    assert found.memory.arenas == check(checkpoint).memory.arenas > 1000


def test_a_window_longer_than_the_model_was_made_for_is_a_problem(tmp_path):
    folder = write_checkpoint(tmp_path / "vl", "llava_onevision")
    window = {"system": {"s2": {"window": {"max_frames": 10_000}}}}
    [problem] = check(folder, **window).problems
    fits = int(re.search(r"system\.s2\.window\.max_frames=(\d+)", problem)[1])
    for frames, problems in ((fits, 0), (fits * 2, 1)):
        window = {"system": {"s2": {"window": {"max_frames": frames}}}}
        assert len(check(folder, **window).problems) == problems


def test_rotary_scaling_makes_the_context_longer():
    text = transformers.LlamaConfig(max_position_embeddings=4096)
    assert footprint.context_length(text) == 4096
    text.rope_parameters = {"rope_type": "linear", "factor": 2.0}
    assert footprint.context_length(text) == 8192
    text.rope_parameters = {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768,
    }  # fmt: skip
    assert footprint.context_length(text) == 131072


def test_a_view_into_the_other_system_takes_no_arena(checkpoint):
    found = check(checkpoint, system={"s1": {"window": {"kv": "view"}}})
    assert {each.name: bool(each.arena_bytes) for each in found.systems} == {
        "s1": False,
        "s2": True,
        "blind": True,
    }


def test_a_chat_template_that_drops_the_video_is_an_error(checkpoint):
    (checkpoint / "chat_template.jinja").write_text("{{ messages[0]['role'] }}")
    with pytest.raises(ModelError, match="chat template"):
        check(checkpoint)


def test_a_checkpoint_with_code_of_its_own_names_the_one_to_use(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    config["model_type"] = "minicpmv"
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"never run here; .*openbmb/MiniCPM-V-4\.6"):
        check(checkpoint)


def test_a_folder_without_configuration_is_no_checkpoint(tmp_path):
    with pytest.raises(ModelError, match=r"not a checkpoint: it has no config\.json"):
        check(tmp_path)


def test_weights_that_are_stored_quantised_count_as_they_are_stored(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4}
    (checkpoint / "config.json").write_text(json.dumps(config))
    found = check(checkpoint)
    assert found.quantization == "awq"
    assert found.memory.weights == (checkpoint / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("name", "gib", "key"),
    [
        ("NVIDIA H200", 139.8, "h200"),
        ("NVIDIA H100 80GB HBM3", 79.1, "h100"),
        ("NVIDIA H100 PCIe", 79.1, "h100-pcie"),
        ("NVIDIA A100-SXM4-40GB", 39.4, "a100-40gb"),
        ("NVIDIA A100 80GB PCIe", 79.3, "a100-80gb"),
        ("Tesla T4", 14.6, "t4"),
        ("NVIDIA GeForce RTX 4090", 23.5, "rtx-4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 15.6, None),
        ("NVIDIA L40", 44.3, None),
        ("NVIDIA GH200 480GB", 94.5, None),
    ],
)
def test_a_gpu_is_known_by_its_whole_name_and_its_memory(name, gib, key):
    found = of_gpu(name, int(gib * (1 << 30)))
    assert found.bandwidth == (known(key).bandwidth if key else None)
    assert found.memory == int(gib * (1 << 30))


def test_an_unknown_gpu_is_an_error_that_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"known: .*h200"):
        known("h9000")
