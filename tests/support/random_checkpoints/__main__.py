"""`python -m random_checkpoints MODEL_TYPE FOLDER [--seed N]`: write one small random checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from random_checkpoints import WRITERS, write_checkpoint

parser = argparse.ArgumentParser(prog="random_checkpoints", description=__doc__)
parser.add_argument("model_type", choices=sorted(WRITERS))
parser.add_argument("folder", type=Path)
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()
write_checkpoint(arguments.folder, arguments.model_type, seed=arguments.seed)
