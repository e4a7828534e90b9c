"""What the stages of one training process share: settings, rank, folder, log, checkpoints."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dsb.atomic import replacing
from dsb.models.tiny.settings import TrainingSettings

_LOGGER = logging.getLogger("dsb.models.tiny")


@dataclass
class TrainingProcess:
    """One of the training processes. Rank 0 alone writes the log and the checkpoints."""

    folder: Path
    settings: TrainingSettings
    rank: int = 0
    started: float = field(default_factory=time.monotonic)

    def log(self, text: str) -> None:
        """Append a line to `log.txt`, with the wall seconds since this process started."""
        if self.rank:
            return
        line = f"[{time.monotonic() - self.started:6.0f}s] {text}"
        _LOGGER.info(line)
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Write a checkpoint atomically (rank 0)."""
        if self.rank == 0:
            save_atomically(self.folder / name, state)


def save_atomically(path: Path, state: object) -> None:
    """Write `state` with `torch.save` so that a killed process leaves the old file or the new."""
    with replacing(path) as file:
        torch.save(state, file)


def mixed_precision() -> torch.autocast:
    """bfloat16 where it is safe: about twice as fast as float32 on the CPUs that support it."""
    return torch.autocast("cpu", torch.bfloat16)
