"""The embedded model: a genuine, tiny Qwen2.5-VL trained from scratch on the synthetic streams.

The package ships the trained folder (`checkpoint/`) beside the code that made it. At run time only
`embedded_path` is needed: the folder loads through the stock classes like any other checkpoint of
the family. Everything else here is the recipe; see `docs/embedded-model.md`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from dsb.errors import ModelError

#: Files without which the stock classes cannot load the folder.
REQUIRED_FILES = ("config.json", "model.safetensors", "tokenizer.json")


def embedded_path() -> Path:
    """Return the folder of the model that ships with the package.

    Raises:
        ModelError: the folder is missing or incomplete in this installation.
    """
    folder = Path(str(resources.files(__package__) / "checkpoint"))
    missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"the embedded model is incomplete: {folder} lacks {', '.join(missing)}. "
            "Reinstall the package (pip install --force-reinstall dualstreambench), or train it "
            "again: python -m dsb.models.tiny.train --out DIR --procs 2, then "
            f"python -m dsb.models.tiny.export DIR/B.pt {folder}"
        )
    return folder


__all__ = ["REQUIRED_FILES", "embedded_path"]
