"""A run's identity changes with everything that can change its results, and with nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from dsb.config.schema import RunConfig
from dsb.evaluation.identity import data_digest, identity_fields, run_identity
from dsb.routing.build import build_routers, router_identities

MODEL = {"family": "qwen2_5_vl", "weights_sha256": "ab" * 32, "path": "/models/a", "device": "cpu"}

#: Another valid value for every field of the configuration that is not a section.
OTHER: dict[str, Any] = {
    "dataset.data_dir": "elsewhere",
    "dataset.items_dir": "elsewhere",
    "dataset.benchmark": "clue",
    "dataset.format": "other",
    "dataset.shard": "1/2",
    "dataset.max_samples": 5,
    "dataset.protocol": "strict",
    "dataset.synth": {"sessions": 3},
    "video.fps": "2",
    "video.width": 112,
    "video.height": 112,
    "video.strict": False,
    "video.ffmpeg": "/usr/bin/ffmpeg",
    "video.prune": "off",
    "video.decoder_threads": 3,
    "video.hwaccel": "cuda",
    "system.scheduler.compare": [{"name": "rule"}],
    "system.scheduler.fallback": "s2",
    "system.streaming_embed_cache.reuse": "none",
    "system.streaming_embed_cache.visual_bytes": 4096,
    "system.streaming_embed_cache.arena_bytes": 4096,
    "system.streaming_embed_cache.prefill_stride": 4,
    "system.streaming_embed_cache.context_tokens": 1024,
    "system.streaming_embed_cache.eviction": "random",
    "system.streaming_embed_cache.eviction_seed": 1,
    "system.streaming_embed_cache.sinks": 1,
    "system.streaming_embed_cache.position": "anchor",
    "system.proactive.tick_s": "1/2",
    "system.proactive.threshold": 0.25,
    "system.proactive.rearm_ticks": 5,
    "system.collect": "routed",
    "system.blind": False,
    "system.scheduler.router.name": "rule",
    "system.scheduler.router.label": "mine",
    "system.scheduler.router.settings": {"threshold": 0.25},
    "memory.turns": 2,
    "memory.long_term": True,
    "memory.encoder": "other",
    "memory.write": ["observation"],
    "memory.observe_prompt": "What now?",
    "memory.observe_every_s": 5.0,
    "stream.mode": "offline",
    "stream.clock": "realtime",
    "stream.source": "elsewhere.mp4",
    "stream.listen": True,
    "stream.reconnect_s": 1.0,
    "stream.stall_s": 1.0,
    "stream.analyze_s": 2.0,
    "stream.queue_frames": 8,
    "output.dir": "elsewhere",
    "output.name": "other",
    "output.save_text": False,
    "output.max_errors": 3,
    "output.retries": 7,
    "seed": 1,
    **{
        f"system.{name}.{key}": value
        for name in ("s1", "s2")
        for key, value in {
            "window.max_frames": 5,
            "window.span_s": 3.0,
            "window.fps": "1/2",
            "window.kv": "strict",
            "answering": "likelihood",
            "prompt": "Q: {question}{options}",
            "max_new_tokens": 3,
            "temperature": 0.5,
            "retrieve": 2,
            "model": {"dtype": "float16"},
        }.items()
    },
    "model.backend": "other",
    "model.path": "/models/b",
    "model.dtype": "float16",
    "model.quantization": "int8",
    "model.device": "cuda",
    "model.device_map": "auto",
    "model.compile": True,
    "model.attention": "eager",
    "model.prompt": "hf",
    "model.hub": "modelscope",
    "model.threads": 3,
}

#: Where things are, how the work is done, what is kept; and what the hash of the data says already.
NO_PART_OF_IT = {
    "dataset.data_dir",
    "dataset.items_dir",
    "dataset.benchmark",
    "dataset.shard",
    "dataset.max_samples",
    "dataset.synth",
    "model.path",
    "model.compile",
    "model.threads",
    "video.ffmpeg",
    "video.prune",
    "video.decoder_threads",
    "system.streaming_embed_cache.visual_bytes",
    "system.streaming_embed_cache.arena_bytes",
    "system.streaming_embed_cache.prefill_stride",
    "stream.analyze_s",
    "stream.listen",
    "stream.queue_frames",
    "stream.reconnect_s",
    "stream.stall_s",
    "output.dir",
    "output.name",
    "output.save_text",
    "output.max_errors",
    "output.retries",
}


def leaves(section: BaseModel, prefix: str = "") -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def changed(key: str) -> RunConfig:
    values: Any = OTHER[key]
    for part in reversed(key.split(".")):
        values = {part: values}
    return RunConfig.model_validate(values)


def identity(config: RunConfig | None = None, **how: Any) -> str:
    config = config or RunConfig()
    scheduler = config.system.scheduler
    facts = {
        "data": "d",
        "models": {"s1": MODEL, "s2": MODEL},
        "ffmpeg": "f",
        "version": "1.2.3",
        "routers": router_identities(scheduler, build_routers(scheduler)),
    }
    return run_identity(config, **{**facts, **how})


def test_every_field_of_the_configuration_is_judged_here() -> None:
    assert set(leaves(RunConfig())) == set(OTHER)


@pytest.mark.parametrize("key", sorted(set(OTHER) - NO_PART_OF_IT))
def test_a_field_that_can_change_results_changes_the_identity(key: str) -> None:
    assert identity(changed(key)) != identity()


@pytest.mark.parametrize("key", sorted(NO_PART_OF_IT))
def test_a_field_of_operation_does_not_change_the_identity(key: str) -> None:
    assert identity(changed(key)) == identity()


@pytest.mark.parametrize(
    "how",
    [
        {"data": "e"},
        {"ffmpeg": "g"},
        {"version": "2.0.0"},
        {"models": {"s1": MODEL, "s2": {**MODEL, "weights_sha256": "cd" * 32}}},
        {"models": {"s1": MODEL, "s2": {**MODEL, "device": "cuda"}}},
        {"routers": [{"name": "s1_uncertainty", "label": "s1_uncertainty", "threshold": 0.2}]},
    ],
)
def test_data_decoder_model_and_major_version_change_the_identity(how: dict[str, Any]) -> None:
    assert identity(**how) != identity()


def test_a_setting_at_its_default_is_the_same_run_as_none() -> None:
    assert identity(changed_router({"threshold": 0.1})) == identity()
    assert identity(changed_router({"threshold": 0.2})) != identity()


def changed_router(settings: dict[str, float]) -> RunConfig:
    return RunConfig.model_validate({"system": {"scheduler": {"router": {"settings": settings}}}})


def test_which_of_several_equal_devices_computes_does_not_matter() -> None:
    def on(device: str) -> str:
        own = {"model": {"device": device}}
        return identity(
            RunConfig.model_validate({"model": {"device": device}, "system": {"s1": own}})
        )

    assert on("cuda:0") == on("cuda:1") == on("cuda")
    assert on("cuda:0") != on("cpu")


def test_a_minor_version_is_the_same_run() -> None:
    assert identity(version="1.9.0") == identity()


def test_a_checkpoint_may_be_moved_when_its_weights_are_hashed() -> None:
    moved = {**MODEL, "path": "/elsewhere"}
    assert identity(models={"s1": moved, "s2": moved}) == identity()
    unhashed = {"family": "api", "path": "model-1"}
    renamed = {"family": "api", "path": "model-2"}
    assert identity(models={"s1": unhashed}) != identity(models={"s1": renamed})


def test_the_identity_is_hexadecimal_and_stable() -> None:
    assert identity() == identity()
    assert len(identity()) == 32
    int(identity(), 16)


def test_identity_fields_are_named_with_their_path() -> None:
    fields = identity_fields(RunConfig())
    assert fields["system.s1.window.max_frames"] == 8
    assert fields["video.fps"] == "1"
    assert NO_PART_OF_IT.isdisjoint(fields)


ITEMS = [{"id": "a", "answer": "red"}, {"id": "b", "answer": "blue"}]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "one.mp4"
    path.write_bytes(bytes(range(256)) * 2000)
    return path


def test_data_may_be_moved_and_its_items_reordered(tmp_path: Path, video: Path) -> None:
    copy = Path(shutil.copy(video, tmp_path / "copy.mp4"))
    assert data_digest(ITEMS, {"v": video}) == data_digest(ITEMS[::-1], {"v": copy})


@pytest.mark.parametrize("place", [0, 100, -100, -1])
def test_another_video_is_other_data(video: Path, place: int) -> None:
    before = data_digest(ITEMS, {"v": video})
    data = bytearray(video.read_bytes())
    data[place] ^= 1
    video.write_bytes(data)
    assert data_digest(ITEMS, {"v": video}) != before


def test_a_corrected_answer_is_other_data(video: Path) -> None:
    corrected = [ITEMS[0], {**ITEMS[1], "answer": "green"}]
    assert data_digest(ITEMS, {"v": video}) != data_digest(corrected, {"v": video})


def test_a_missing_video_has_an_identity_too(tmp_path: Path, video: Path) -> None:
    missing = data_digest(ITEMS, {"v": tmp_path / "none.mp4"})
    assert missing != data_digest(ITEMS, {"v": video})
