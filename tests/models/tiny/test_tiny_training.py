"""The training recipe learns, and a killed run ends with the weights of an uninterrupted one."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from children import Child
from dsb.models.tiny.architecture import build
from dsb.models.tiny.bank import open_bank
from dsb.models.tiny.curriculum import language_batch
from dsb.models.tiny.optimisation import update
from dsb.models.tiny.session import TrainingProcess
from dsb.models.tiny.settings import Bucket, Phase
from dsb.models.tiny.stage_language import LanguageTrainer, batch_loss, train_language
from dsb.models.tiny.stage_vision import train_vision, vision_batch
from dsb.models.tiny.train import train
from dsb.models.tiny.vision import encode_units, patchify, reading_loss
from paths import SUPPORT
from tiny_training import MINIATURE, with_language, with_vision

torch.set_num_threads(1)

#: No process of the recipe has this rank, so its batches are unseen.
UNSEEN_RANK = 99


def weights(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)["model"]
    return state


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("uninterrupted"), MINIATURE)


def test_stage_a_teaches_the_tower_to_write_words(tmp_path: Path) -> None:
    settings = with_vision(MINIATURE, steps=50, streams=10, warmup_steps=5, learning_rate=4e-3)
    model: Any = build(settings.architecture, settings.seed)
    words = model.get_input_embeddings().weight.detach()

    @torch.no_grad()
    def read_unseen_streams() -> tuple[float, dict[str, float]]:
        frames, labels = vision_batch(settings, UNSEEN_RANK, 0)
        tokens = encode_units(model.model.visual, patchify(frames))
        loss, accuracy = reading_loss(tokens, words, labels)
        return loss.item(), accuracy

    before, _ = read_unseen_streams()
    words_before = words.clone()
    train_vision(model, TrainingProcess(tmp_path, settings))
    after, accuracy = read_unseen_streams()
    assert after < before
    assert accuracy["color"] > 0.6
    assert accuracy["bg"] > 0.9
    assert torch.equal(words, words_before)


def test_stage_b_lowers_the_loss_on_unseen_batches(tmp_path: Path) -> None:
    phases = (Phase((Bucket(1, 4, 8), Bucket(4, 6, 6)), 30, 0.1, 0.5),)
    settings = with_language(MINIATURE, phases=phases, warmup_steps=5)
    model: Any = build(settings.architecture, settings.seed)
    process = TrainingProcess(tmp_path, settings)
    trainer = LanguageTrainer(model, open_bank(model, process), process)

    @torch.no_grad()
    def loss_on_unseen_batches() -> float:
        batches = [language_batch(settings, trainer.bank, UNSEEN_RANK, i) for i in range(4)]
        losses = [batch_loss(model, trainer.tap, batch, trainer.stage).loss for batch in batches]
        return float(sum(losses)) / len(losses)

    before = loss_on_unseen_batches()
    while trainer.step < settings.language.steps:
        trainer.advance()
    assert loss_on_unseen_batches() < 0.7 * before


def test_stage_b_leaves_the_vision_tower_as_stage_a_left_it(uninterrupted: Path) -> None:
    frozen = torch.load(uninterrupted.parent / "A.pt", weights_only=True)["visual"]
    trained = weights(uninterrupted)
    assert all(torch.equal(trained[f"model.visual.{name}"], frozen[name]) for name in frozen)


def test_a_finished_run_is_left_as_it_is(uninterrupted: Path) -> None:
    before = weights(uninterrupted)
    assert equal(weights(train(uninterrupted.parent, MINIATURE)), before)


def test_a_killed_run_continues_to_the_same_weights(tmp_path: Path, uninterrupted: Path) -> None:
    code = (
        "import pathlib, sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from tiny_training import MINIATURE\n"
        "from dsb.models.tiny.train import train\n"
        "train(pathlib.Path(sys.argv[1]), MINIATURE)\n"
    )
    path = os.pathsep.join([str(SUPPORT), *sys.path])
    command = [sys.executable, "-c", code, tmp_path]
    with Child(command, env={**os.environ, "PYTHONPATH": path}) as child:
        while not (tmp_path / "B.pt").exists() and child.poll() is None:
            time.sleep(0.005)
        child.kill()
    reached = torch.load(tmp_path / "B.pt", weights_only=True)["step"]
    assert 0 < reached <= MINIATURE.language.steps
    assert equal(weights(train(tmp_path, MINIATURE)), weights(uninterrupted))


def test_every_resumed_step_equals_the_uninterrupted_one(
    tmp_path: Path, uninterrupted: Path
) -> None:
    process = TrainingProcess(tmp_path, MINIATURE)
    frozen = torch.load(uninterrupted.parent / "A.pt", weights_only=True)["visual"]
    for _ in range(MINIATURE.language.steps):
        model: Any = build(MINIATURE.architecture, MINIATURE.seed)
        model.model.visual.load_state_dict(frozen)
        trainer = LanguageTrainer(model, open_bank(model, process), process)
        trainer.resume()
        trainer.advance()
        trainer.save()
    assert equal(weights(tmp_path / "B.pt"), weights(uninterrupted))


def test_a_damaged_bank_is_built_again(tmp_path: Path) -> None:
    model: Any = build(MINIATURE.architecture, MINIATURE.seed)
    process = TrainingProcess(tmp_path, MINIATURE)
    first = open_bank(model, process)
    (tmp_path / "bank0.pt").write_bytes(b"not a bank")
    second = open_bank(model, process)
    assert all(torch.equal(a.pairs, b.pairs) for a, b in zip(first, second, strict=True))
    assert all(a.stream == b.stream for a, b in zip(first, second, strict=True))


@pytest.mark.slow
def test_two_processes_take_the_step_of_their_mean_gradient(
    tmp_path: Path, uninterrupted: Path
) -> None:
    phases = (Phase((Bucket(4, 2, 4),), 1, 0.1, 0.5),)
    alone = with_language(MINIATURE, phases=phases, warmup_steps=1)
    both = dataclasses.replace(alone, processes=2)
    shutil.copy(uninterrupted.parent / "A.pt", tmp_path / "A.pt")
    together = weights(train(tmp_path, both))

    model: Any = build(alone.architecture, alone.seed)
    frozen = torch.load(tmp_path / "A.pt", weights_only=True)["visual"]
    model.model.visual.load_state_dict(frozen)
    processes = [TrainingProcess(tmp_path, alone, rank) for rank in (0, 1)]
    trainer = LanguageTrainer(model, [], processes[0])
    losses = []
    for process in processes:
        batch = language_batch(alone, open_bank(model, process), process.rank, 0)
        losses.append(batch_loss(model, trainer.tap, batch, alone.language).loss)
    loss = (losses[0] + losses[1]) / 2
    update(trainer.optimisers, loss, alone.language.learning_rate, processes=1)
    reference = model.state_dict()
    for name, tensor in together.items():
        assert (tensor - reference[name]).abs().max() < 2e-4, name


def test_training_stops_at_its_last_step(tmp_path: Path) -> None:
    model: Any = build(MINIATURE.architecture, MINIATURE.seed)
    process = TrainingProcess(tmp_path, MINIATURE)
    train_language(model, open_bank(model, process), process)
    assert torch.load(tmp_path / "B.pt", weights_only=True)["step"] == MINIATURE.language.steps
    assert "B done at step 8" in (tmp_path / "log.txt").read_text()
