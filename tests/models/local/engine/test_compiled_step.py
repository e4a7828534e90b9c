"""`model.compile`: small forwards through one compiled function give what all others give."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsb._core import WindowSpec
from dsb.config.schema import CacheConfig, ModelConfig
from dsb.errors import ModelError
from dsb.models.backend import Generation, Reply, StreamSpec
from dsb.models.build import open_backend
from dsb.models.local.backend import LocalBackend
from dsb.models.local.engine.arena import Arena, Share
from dsb.models.local.engine.choose_prefill import PrefillFactory
from dsb.models.local.engine.forward import Forward
from dsb.models.local.engine.step import CompiledStep
from dsb.models.local.families import FAMILIES
from local_streams import FPS, Stream, load, random_frames, write_video
from random_checkpoints import write_checkpoint

COUNT = 13
LETTERS = ("A", "B", "C", "D")
QUESTIONS = ("What color is the star now?", "Where is it?", "How many times?")
#: Model types without a recurrent state, and the backends that run them.
BACKENDS = {
    kind: backend for backend, kinds in FAMILIES.items() for kind in kinds if backend != "minicpm"
}


@dataclass
class Tracer:
    """A compiler that leaves the traced graph as it is."""

    graphs: int = 0
    runs: int = 0

    def __call__(self, graph: Any, inputs: list[Tensor]) -> Callable[..., Any]:
        self.graphs += 1

        def run(*given: Any) -> Any:
            self.runs += 1
            return graph.forward(*given)

        return run


def with_step(backend: LocalBackend, compiler: Any) -> LocalBackend:
    """The same weights, with small forwards compiled by `compiler`."""
    twin = copy.copy(backend)
    forward = Forward(backend.family, CompiledStep(backend.family, compiler=compiler))
    twin._prefills = PrefillFactory(forward, backend.chat, CacheConfig(reuse="kv"))
    twin._sessions = {}
    return twin


@pytest.fixture(scope="module", autouse=True)
def _graphs_are_forgotten() -> Iterator[None]:
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module", params=sorted(BACKENDS))
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LocalBackend:
    kind = request.param
    return load(write_checkpoint(tmp_path_factory.mktemp(kind), kind), "kv", BACKENDS[kind])


@pytest.fixture(scope="module")
def compiled(backend: LocalBackend) -> LocalBackend:
    return with_step(backend, "eager")


@pytest.fixture(scope="module")
def stream(backend: LocalBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    opened = open_stream(backend, tmp_path_factory.mktemp("video"))
    yield opened
    opened.source.close()


@pytest.fixture
def small(tmp_path: Path) -> LocalBackend:
    return load(write_checkpoint(tmp_path / "model", "qwen2_5_vl"), "kv")


def open_stream(backend: LocalBackend, folder: Path) -> Stream:
    size = backend.family.frame_size((90, 60))
    path = write_video(folder / "v.mkv", random_frames(COUNT, size))
    return Stream.open(path, size, COUNT)


def replies(
    backend: LocalBackend, stream: Stream, most: int = 4, *, poison: bool = False
) -> list[Reply]:
    """What a conversation says that is asked in every way while frames come and leave."""
    spec = StreamSpec("session", "s2", stream.size, FPS, WindowSpec(max_frames=most))
    conversation = backend.open(spec)
    if poison:
        with torch.inference_mode():
            for block in conversation._prefill.context.arena._blocks:
                block.fill_(float("nan"))
    found = []
    for shown in (1, 4, 5, 8, COUNT):
        stream.observe(conversation, 0, shown)
        asks = [
            stream.request(shown - 1, text, candidates)
            for text in QUESTIONS
            for candidates in ((), LETTERS, ("red", "red star"))
        ]
        found += [conversation.ask(each) for each in asks[:3]]
        found += conversation.ask_many(asks)
        sampled = Generation(6, 1.0, seed=shown)
        found.append(conversation.ask(stream.request(shown - 1, generation=sampled)))
    conversation.close()
    return found


def assert_equal(ours: list[Reply], theirs: list[Reply]) -> None:
    """The same words, likelihoods within rounding."""
    for one, other in zip(ours, theirs, strict=True):
        assert one.text == other.text
        for mine, its in (
            (one.token_logprobs, other.token_logprobs),
            (one.candidate_logprobs, other.candidate_logprobs),
        ):
            assert (mine is None) == (its is None)
            assert mine is None or mine == pytest.approx(its, abs=2e-5)


@pytest.mark.parametrize("most", [4, 64])
def test_padding_and_slot_numbers_change_no_answer(
    backend: LocalBackend, compiled: LocalBackend, stream: Stream, most: int
) -> None:
    """For every family the whole language model is one graph; what slides, leaves and is rolled back stays right."""
    assert_equal(replies(compiled, stream, most), replies(backend, stream, most))


def test_no_question_waits_for_the_compiler(small: LocalBackend, tmp_path: Path) -> None:
    """Two graphs, one for single tokens and one for all other lengths, are there once the model is loaded."""
    tracer = Tracer()
    compiled = with_step(small, tracer)
    graphs, runs = tracer.graphs, tracer.runs
    replies(compiled, open_stream(small, tmp_path))
    assert tracer.graphs == graphs == 2
    assert tracer.runs > runs + 50


def test_memory_that_nobody_wrote_reaches_no_answer(small: LocalBackend, tmp_path: Path) -> None:
    stream = open_stream(small, tmp_path)
    compiled = with_step(small, "eager")
    assert_equal(replies(compiled, stream, poison=True), replies(small, stream))


def test_memory_of_a_forward_that_failed_holds_numbers(small: LocalBackend) -> None:
    arena = Arena(small.family.model, 1 << 30, torch.float32)
    arena.reserve(256)
    arena._blocks[0].fill_(float("nan"))
    # Rolled back, as after a failure, before anything is written.
    with arena.trial():
        arena.extend([Share(1, 40)])
    with arena.trial():
        arena.extend([Share(1, 8)])
        block = arena.block(64)
    assert block[:, :, :, :64].isfinite().all()
    assert block[:, :, :, 64:].isnan().all()


def test_two_compiled_models_do_not_meet(small: LocalBackend, tmp_path: Path) -> None:
    other = load(write_checkpoint(tmp_path / "other", "qwen2_5_vl", seed=1), "kv")
    stream = open_stream(small, tmp_path)
    pair = [with_step(each, "eager") for each in (small, other)]
    for compiled, plain in zip(pair, (small, other), strict=True):
        assert_equal(replies(compiled, stream), replies(plain, stream))


def test_a_recurrent_state_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "minicpmv4_6")
    model = ModelConfig(backend="minicpm", path=str(folder), device="cpu", threads=1, compile=True)
    with pytest.raises(ModelError, match=r"recurrent state.*model\.compile=false"):
        open_backend(model)


def test_without_a_compiler_the_error_names_the_flag(
    small: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "empty"))
    with (
        config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(ModelError, match=r"no-such-compiler.*model\.compile=false"),
    ):
        CompiledStep(small.family)


@pytest.mark.slow
def test_the_embedded_model_compiled_gives_the_same_answers(tmp_path: Path) -> None:
    """With the real compiler, as `model.compile: true` has it."""
    plain, compiled = (
        open_backend(ModelConfig(device="cpu", threads=1, compile=each), CacheConfig(reuse="kv"))
        for each in (False, True)
    )
    assert isinstance(plain, LocalBackend)
    assert isinstance(compiled, LocalBackend)
    stream = open_stream(plain, tmp_path)
    for most in (4, 64):
        assert_equal(replies(compiled, stream, most), replies(plain, stream, most))
