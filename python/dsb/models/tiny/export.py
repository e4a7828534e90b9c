"""A training checkpoint as a normal model folder: `python -m dsb.models.tiny.export B.pt OUT`.

The folder loads through the Auto classes of transformers with no code of this package: fp16
safetensors, tokenizer, chat template, image and video processor settings.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from dsb.errors import ModelError
from dsb.models.tiny.architecture import (
    FRAME_SIZE,
    FRAMES_PER_UNIT,
    MERGE_SIZE,
    PATCH_SIZE,
    Architecture,
    build,
)
from dsb.models.tiny.vocabulary import IM_END_ID, PAD_ID, build_tokenizer

_MAX_ANSWER_TOKENS = 4
_BICUBIC = 3
_PIXELS = FRAME_SIZE * FRAME_SIZE
_PROCESSOR: dict[str, Any] = {
    "patch_size": PATCH_SIZE,
    "temporal_patch_size": FRAMES_PER_UNIT,
    "merge_size": MERGE_SIZE,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "size": {"shortest_edge": _PIXELS, "longest_edge": _PIXELS},
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_convert_rgb": True,
    "resample": _BICUBIC,
    "processor_class": "Qwen2_5_VLProcessor",
}
_PROCESSOR_FILES: dict[str, dict[str, Any]] = {
    "preprocessor_config.json": {"image_processor_type": "Qwen2VLImageProcessor"},
    "video_preprocessor_config.json": {"video_processor_type": "Qwen2VLVideoProcessor", "fps": 1},
}


def load_checkpoint(path: Path) -> Any:
    """Return the fp32 model of a training checkpoint, in evaluation mode.

    Raises:
        ModelError: there is no such file, or it is not a checkpoint of stage B.
    """
    if not path.is_file():
        raise ModelError(
            f"{path} is missing. Train first: python -m dsb.models.tiny.train --out {path.parent}"
        )
    state = torch.load(path, weights_only=True)
    if not isinstance(state, dict) or not {"model", "cfg"} <= state.keys():
        raise ModelError(f"{path} is not a checkpoint of stage B; give the B.pt of a training run")
    model: Any = build(Architecture(**state["cfg"]), seed=0)
    model.load_state_dict(state["model"])
    return model.eval()


def export(checkpoint: Path, out: Path) -> dict[str, int]:
    """Write the model folder `out`, replacing it as a whole, and return its files with sizes."""
    from transformers import GenerationConfig

    settings: Any = GenerationConfig
    model = load_checkpoint(checkpoint).half()
    model.generation_config = settings(
        eos_token_id=IM_END_ID,
        pad_token_id=PAD_ID,
        max_new_tokens=_MAX_ANSWER_TOKENS,
        do_sample=False,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    fresh.chmod(0o755)
    try:
        model.save_pretrained(fresh)
        build_tokenizer().save_pretrained(fresh)
        for name, own in _PROCESSOR_FILES.items():
            text = json.dumps({**_PROCESSOR, **own}, indent=1) + "\n"
            (fresh / name).write_text(text, encoding="utf-8")
        for file in fresh.iterdir():
            file.chmod(0o644)  # the tensors are written for the owner alone
        shutil.rmtree(out, ignore_errors=True)
        fresh.replace(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return {file.name: file.stat().st_size for file in sorted(out.iterdir())}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m dsb.models.tiny.export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="B.pt of a training run")
    parser.add_argument("out", type=Path, help="model folder to write")
    args = parser.parse_args()
    export(args.checkpoint, args.out)


if __name__ == "__main__":
    main()
