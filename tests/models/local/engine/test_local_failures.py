"""Local models: what fails says so with one typed error, and leaves everything as it was."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from children import run
from dsb._core import WindowSpec
from dsb.config.schema import CacheConfig, ModelConfig
from dsb.errors import ModelError, OutOfMemory
from dsb.models.backend import Conversation, Description, Request
from dsb.models.build import open_backend
from dsb.models.local.backend import LOCAL, LocalBackend
from local_streams import Stream, content, load, random_frames, write_video
from random_checkpoints import write_checkpoint

SIZE = (112, 56)
COUNT = 16


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), request.param)


@pytest.fixture(scope="module")
def embed(folder: Path) -> LocalBackend:
    return load(folder)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    path = write_video(tmp_path_factory.mktemp("video") / "v.mkv", random_frames(COUNT, SIZE))
    opened = Stream.open(path, SIZE, COUNT)
    yield opened
    opened.source.close()


# -- failures --------------------------------------------------------------------------------------


def fail(conversation: Conversation, embed: LocalBackend, request: Request, message: str) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(message)

    hook = embed.family.model.lm_head.register_forward_pre_hook(broken)
    try:
        conversation.ask(request)
    finally:
        hook.remove()


def test_a_failed_question_leaves_the_conversation_as_it_was(
    embed: LocalBackend, stream: Stream
) -> None:
    conversation = stream.watcher(embed, 11)
    before = content(conversation.ask(stream.request(10)))
    with pytest.raises(
        OutOfMemory, match=r"half the window may fit: set system.s1.window.max_frames=\d+"
    ):
        fail(conversation, embed, stream.request(10), "CUDA out of memory. Tried to allocate 2 GiB")
    with pytest.raises(ModelError, match="answering 'q': shapes differ"):
        fail(conversation, embed, stream.request(10), "shapes differ")
    with pytest.raises(ModelError, match="cannot be scored"):
        conversation.ask(stream.request(10, candidates=("yes", "")))
    assert content(conversation.ask(stream.request(10))) == before
    conversation.close()


def test_frames_whose_encoding_failed_can_be_observed_again(
    embed: LocalBackend, stream: Stream
) -> None:
    conversation = stream.watcher(embed, 0)

    def broken(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    hook = embed.family.model.model.visual.register_forward_pre_hook(broken)
    with pytest.raises(OutOfMemory):
        stream.observe(conversation, 0, 6)
    hook.remove()
    stream.observe(conversation, 0, 6)
    whole = stream.watcher(embed, 6, session="other")
    request = stream.request(5)
    assert content(conversation.ask(request)) == content(whole.ask(request))
    conversation.close()
    whole.close()


def test_a_message_with_the_placeholder_is_refused(embed: LocalBackend, stream: Stream) -> None:
    conversation = stream.watcher(embed, 4)
    with pytest.raises(ModelError, match="2 times"):
        conversation.ask(stream.request(3, "What is <|video_pad|>?"))
    conversation.close()


def test_a_closed_conversation_says_so(embed: LocalBackend, stream: Stream) -> None:
    conversation = stream.watcher(embed, 4)
    conversation.close()
    with pytest.raises(ModelError, match="closed"):
        conversation.ask(stream.request(3))


def test_impossible_streams_are_refused_when_they_are_opened(folder: Path, stream: Stream) -> None:
    backend = load(folder, visual_bytes=8191)
    window = WindowSpec(max_frames=8)
    small = dataclasses.replace(stream.spec("s1", window), size=(60, 56))
    with pytest.raises(ModelError, match=r"60x56.*multiples of 28.*video\.width=56"):
        backend.open(small)
    with pytest.raises(ModelError, match="visual_bytes is 8191"):
        backend.open(stream.spec("s2", window))


def test_the_model_proposes_a_frame_size_within_its_limits(embed: LocalBackend) -> None:
    for source in ((1920, 1080), (640, 480), (480, 640), (64, 48), (57, 57)):
        width, height = embed.frame_size(source)
        assert width % 28 == height % 28 == 0
        assert 56 * 56 <= width * height <= 28 * 28 * 16
        embed.family.grid((width, height))


# -- loading ---------------------------------------------------------------------------------------


def identify(folder: Path) -> Description:
    return LOCAL.identify(ModelConfig(path=str(folder), device="cpu", threads=1), CacheConfig())


def test_a_description_identifies_the_weights(folder: Path, tmp_path: Path) -> None:
    description = identify(folder)
    assert description["family"] == folder_type(folder)
    assert description["dtype"] == "float32"
    assert description == identify(folder)
    other = write_checkpoint(tmp_path / "other", folder_type(folder), seed=1)
    assert identify(other)["weights_sha256"] != description["weights_sha256"]


def test_a_description_tells_equal_weights_with_another_template_apart(
    folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = other / "generation_config.json"
    config.write_text(config.read_text() + "\n" if config.exists() else "{}")
    one, two = identify(folder), identify(other)
    assert one["weights_sha256"] == two["weights_sha256"]
    assert one["settings_sha256"] != two["settings_sha256"]


def folder_type(folder: Path) -> str:
    model_type: str = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    return model_type


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "no/such/folder/here"}, "no such folder"),
        ({"device": "toaster"}, "toaster"),
        ({"device": "cuda:97"}, "GPUs"),
    ],
)
def test_what_cannot_be_loaded_gives_one_clear_error(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    config = ModelConfig(path=str(folder), device="cpu").model_copy(update=change)
    with pytest.raises(ModelError, match=message):
        open_backend(config)


def test_a_chat_template_that_ignores_videos_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = tmp_path / "chat_template.jinja"
    text = template.read_text(encoding="utf-8").replace("<|video_pad|>", "<|image_pad|>")
    template.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="0 times"):
        open_backend(ModelConfig(path=str(tmp_path), device="cpu"))


def test_torch_is_imported_only_with_a_model() -> None:
    program = (
        "import sys, dsb.models.build, dsb.registry, dsb.models.polling;"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    run([sys.executable, "-c", program], check=True)
