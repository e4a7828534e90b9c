"""Optimisers, schedule and the one update step that both stages share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.optim import Optimizer

#: Modules whose matrices are updated by Muon; embeddings, norms and biases go to AdamW.
_MUON_MODULES = ("layers", "blocks", "merger")
_CLIP_NORM = 1.0
#: Share of all steps at the full learning rate.
_FLAT_SHARE = 0.6


def build_optimisers(
    named: Sequence[tuple[str, nn.Parameter]], learning_rate: float
) -> list[Optimizer]:
    """Return [AdamW, Muon] over the named parameters."""
    by_muon = [
        name
        for name, parameter in named
        if parameter.ndim == 2 and any(module in name for module in _MUON_MODULES)
    ]
    muon = [parameter for name, parameter in named if name in by_muon]
    adam = [parameter for name, parameter in named if name not in by_muon]
    return [
        torch.optim.AdamW(adam, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01),
        torch.optim.Muon(muon, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
    ]


def learning_rate_factor(step: int, steps: int, warmup: int, end: float) -> float:
    """Warm up linearly, stay flat until 60 % of the steps, fall linearly to `end`."""
    flat = _FLAT_SHARE
    warm = min(1, (step + 1) / warmup)
    if step < flat * steps:
        return warm
    return warm * (end + (1 - end) * (1 - (step - flat * steps) / ((1 - flat) * steps)))


def average_over_processes(value: Tensor, processes: int) -> None:
    """Replace `value` by its mean over all training processes, in place."""
    if processes > 1:
        dist.all_reduce(value)
        value /= processes


def update(
    optimisers: Sequence[Optimizer], loss: Tensor, learning_rate: float, processes: int
) -> None:
    """Back-propagate, average the gradients over processes, clip, and step every optimiser."""
    parameters: list[Tensor] = [
        p for optimiser in optimisers for group in optimiser.param_groups for p in group["params"]
    ]
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if processes > 1:
        _average_gradients(parameters, processes)
    nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
        optimiser.step()


def _average_gradients(parameters: Sequence[Tensor], processes: int) -> None:
    """One all-reduce of one flat vector: a message per tensor would cost more than the sum."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    average_over_processes(flat, processes)
    start = 0
    for gradient in gradients:
        size = gradient.numel()
        gradient.copy_(flat[start : start + size].view_as(gradient))
        start += size
