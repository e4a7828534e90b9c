"""From nothing to the checkpoint: `python -m dsb.models.tiny.train --out DIR --procs 2`.

Stage A trains the vision tower (`A.pt`), the bank encodes streams with it (`bank<rank>.pt`), stage
B trains the language model (`B.pt`). Every batch is a function of (seed, rank, step) and every
process computes with one thread, so the result does not depend on when the run was interrupted:
after a `kill -9` the same command continues and ends with the same weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import socket
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from dsb.models.tiny.allocator import WHILE_RENDERING, WHILE_TRAINING, set_mmap_threshold
from dsb.models.tiny.architecture import build
from dsb.models.tiny.bank import open_bank
from dsb.models.tiny.session import TrainingProcess
from dsb.models.tiny.settings import TrainingSettings
from dsb.models.tiny.stage_language import CHECKPOINT, train_language
from dsb.models.tiny.stage_vision import train_vision

VISION_CHECKPOINT = "A.pt"


def train(folder: Path, settings: TrainingSettings) -> Path:
    """Train with `settings.processes` processes, or continue, and return the checkpoint's path.

    Args:
        folder: holds the checkpoints, the bank and `log.txt`; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if settings.processes == 1:
        run_process(0, folder, settings, port=None)
    else:
        # One thread each: sums in a fixed order, and no fight for the cores.
        os.environ["OMP_NUM_THREADS"] = "1"
        start: Any = spawn
        start(run_process, args=(folder, settings, _free_port()), nprocs=settings.processes)
    return folder / CHECKPOINT


def run_process(rank: int, folder: Path, settings: TrainingSettings, port: int | None) -> None:
    """Run all stages as process `rank`; the processes meet at `port`, if there are several."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    if settings.processes > 1:
        meeting = f"tcp://127.0.0.1:{port}"
        dist.init_process_group(
            "gloo", init_method=meeting, rank=rank, world_size=settings.processes
        )
    try:
        _run_stages(TrainingProcess(folder, settings, rank))
    finally:
        if settings.processes > 1:
            dist.destroy_process_group()


def _run_stages(process: TrainingProcess) -> None:
    set_mmap_threshold(WHILE_RENDERING)
    model = build(process.settings.architecture, process.settings.seed)
    _vision(model, process)
    bank = open_bank(model, process)
    set_mmap_threshold(WHILE_TRAINING)
    train_language(model, bank, process)


def _vision(model: Any, process: TrainingProcess) -> None:
    path = process.folder / VISION_CHECKPOINT
    if path.is_file():
        model.model.visual.load_state_dict(torch.load(path, weights_only=True)["visual"])
        return
    train_vision(model, process)
    process.save(VISION_CHECKPOINT, {"visual": model.model.visual.state_dict()})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Command line."""
    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(prog="python -m dsb.models.tiny.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--procs", type=int, default=defaults.processes, help="processes")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    args = parser.parse_args()
    train(args.out, dataclasses.replace(defaults, processes=args.procs, seed=args.seed))


if __name__ == "__main__":
    main()
