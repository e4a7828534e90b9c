"""Stage B: train the language model on questions about banked streams."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name that every reader of torch code expects)
from torch import Tensor

from dsb.benchmarks.synth.question import Question
from dsb.models.tiny.allocator import release_free_memory
from dsb.models.tiny.bank import Bank
from dsb.models.tiny.curriculum import LanguageBatch, language_batch
from dsb.models.tiny.optimisation import build_optimisers, learning_rate_factor, update
from dsb.models.tiny.packing import hidden_states, use_packed_attention
from dsb.models.tiny.session import TrainingProcess, mixed_precision
from dsb.models.tiny.settings import LanguageStage
from dsb.models.tiny.vocabulary import ids_of

CHECKPOINT = "B.pt"
_LOG_EVERY_S = 30.0


class LayerTap:
    """Keeps the output of one decoder layer of the latest forward pass."""

    def __init__(self, layer: torch.nn.Module) -> None:
        self.hidden = torch.zeros(0)
        self._handle = layer.register_forward_hook(self._keep)

    def _keep(self, _module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        self.hidden = output[0] if isinstance(output, tuple) else output

    def remove(self) -> None:
        """Detach from the layer."""
        self._handle.remove()


@dataclass(frozen=True)
class StepResult:
    """What one forward pass says about its batch."""

    loss: Tensor
    value_loss: float | None
    right: list[bool]
    questions: list[Question]


def batch_loss(model: Any, tap: LayerTap, batch: LanguageBatch, stage: LanguageStage) -> StepResult:
    """Return the loss of a batch: the answer token, the end mark, the value before the letter.

    A multiple-choice answer is a value, then its letter. After `value_layer` layers the hidden
    state must already name the value's word, read by the final norm and the tied head; the layers
    above only turn the word into a letter. Without this hint letters are learned far more slowly.
    """
    packed = batch.packed
    with mixed_precision():
        hidden = hidden_states(model, packed, batch.visual)
        trained = packed.targets >= 0
        logits = model.lm_head(hidden[trained]).float()
    target, index = packed.targets[trained], packed.question_index[trained]
    is_answer = index >= 0
    losses = F.cross_entropy(logits, target, reduction="none")
    loss = losses[is_answer].mean() + stage.end_weight * losses[~is_answer].mean()

    row = torch.arange(len(packed.ids))[:, None].expand_as(packed.targets)[trained][is_answer]
    pairs = zip(row.tolist(), index[is_answer].tolist(), strict=True)
    questions = [batch.questions[b][j] for b, j in pairs]
    value_loss = None
    choices = [i for i, question in enumerate(questions) if question.options]
    if choices and stage.value_weight:
        middle = model.model.language_model.norm(tap.hidden[trained][is_answer][choices])
        words = torch.tensor(ids_of([questions[i].answer for i in choices]))
        value = F.cross_entropy(model.lm_head(middle).float(), words)
        loss = loss + stage.value_weight * value
        value_loss = value.item()
    right = (logits.argmax(-1) == target)[is_answer].tolist()
    return StepResult(loss, value_loss, right, questions)


@dataclass
class _Window:
    """Figures since the last log line."""

    losses: list[float] = field(default_factory=list)
    value_losses: list[float] = field(default_factory=list)
    seconds: defaultdict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    by_format: defaultdict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    by_kind: defaultdict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def add(self, units: int, result: StepResult, seconds: float) -> None:
        self.losses.append(result.loss.item())
        if result.value_loss is not None:
            self.value_losses.append(result.value_loss)
        self.seconds[units].append(seconds)
        for right, question in zip(result.right, result.questions, strict=True):
            form = "letter" if question.task == "letter" else question.format
            self.by_format[f"{units:03d}:{form}"].append(right)
            self.by_kind[f"{units:03d}:{question.task}/{question.kind}"].append(right)

    def summary(self) -> str:
        value = np.mean(self.value_losses) if self.value_losses else 0.0
        cost = {units: round(float(np.mean(s)), 2) for units, s in sorted(self.seconds.items())}
        return (
            f"loss {np.mean(self.losses):.3f} deep {value:.3f} "
            f"{_accuracies(self.by_format)} s/step {cost}"
        )

    def kinds(self) -> str:
        return _accuracies({k: x for k, x in self.by_kind.items() if len(x) > 15})


def _accuracies(groups: dict[str, list[bool]]) -> str:
    return " ".join(f"{name.lstrip('0')}={np.mean(x):.2f}" for name, x in sorted(groups.items()))


class LanguageTrainer:
    """Stage B of one process: state, one step, and its checkpoint."""

    def __init__(self, model: Any, bank: Bank, process: TrainingProcess) -> None:
        self.model, self.bank, self.process = model, bank, process
        self.stage = process.settings.language
        use_packed_attention(model)
        named = [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if not name.startswith("model.visual")
        ]
        self.optimisers = build_optimisers(named, self.stage.learning_rate)
        self.tap = LayerTap(model.model.language_model.layers[self.stage.value_layer - 1])
        self.step = 0
        self._spent_before = 0.0
        self._started = time.monotonic()

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one."""
        path = self.process.folder / CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["opts"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self._spent_before = state["step"], state["spent"]
        self.process.log(f"resumed at step {self.step}")

    def advance(self) -> tuple[int, StepResult]:
        """Make one optimiser step; return the batch's units and its result."""
        stage, process = self.stage, self.process
        batch = language_batch(process.settings, self.bank, process.rank, self.step)
        result = batch_loss(self.model, self.tap, batch, stage)
        factor = learning_rate_factor(self.step, stage.steps, stage.warmup_steps, stage.end_factor)
        rate = stage.learning_rate * factor
        update(self.optimisers, result.loss, rate, process.settings.processes)
        self.step += 1
        return batch.units, result

    def save(self) -> None:
        """Write the checkpoint (rank 0)."""
        self.process.save(
            CHECKPOINT,
            {
                "model": self.model.state_dict(),
                "opts": [optimiser.state_dict() for optimiser in self.optimisers],
                "step": self.step,
                "spent": self.spent_s,
                "cfg": self.process.settings.architecture.overrides(),
            },
        )

    @property
    def spent_s(self) -> float:
        """Wall seconds in this stage, over all resumed runs."""
        return self._spent_before + time.monotonic() - self._started


def train_language(model: Any, bank: Bank, process: TrainingProcess) -> None:
    """Run stage B from its checkpoint, or from the start, to its last step."""
    trainer = LanguageTrainer(model, bank, process)
    trainer.resume()
    window, logged, saved = _Window(), time.monotonic(), time.monotonic()
    while trainer.step < trainer.stage.steps:
        began = time.monotonic()
        units, result = trainer.advance()
        now = time.monotonic()
        window.add(units, result, now - began)
        if now - logged > _LOG_EVERY_S:
            process.log(f"B {trainer.step}/{trainer.stage.steps} {window.summary()}")
        if now - saved > process.settings.checkpoint_every_s:
            process.log(f"    {window.kinds()}")
            trainer.save()
            saved = now
        if now - logged > _LOG_EVERY_S:
            window, logged = _Window(), now
            release_free_memory()
    trainer.save()
    trainer.tap.remove()
    process.log(f"B done at step {trainer.step}, {trainer.spent_s:.0f}s")
