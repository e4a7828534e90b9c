"""One module per model family."""

from __future__ import annotations

from collections.abc import Mapping

#: Backend name -> model types of its checkpoints -> module and class of their family.
FAMILIES: Mapping[str, Mapping[str, str]] = {
    "qwen": {
        "qwen2_vl": "qwen2_vl:Qwen2VL",
        "qwen2_5_vl": "qwen2_vl:Qwen2VL",
        "qwen3_vl": "qwen3_vl:Qwen3VL",
        "qwen3_vl_moe": "qwen3_vl:Qwen3VL",
    },
    "llava": {"llava": "llava:Llava"},
    "llava-onevision": {"llava_onevision": "llava_onevision:LlavaOnevision"},
    "llava_next_video": {"llava_next_video": "llava_next_video:LlavaNextVideo"},
    "internvl": {"internvl": "internvl:InternVL"},
    "minicpm": {"minicpmv4_6": "minicpm:MiniCPMV46", "minicpmv4_7": "minicpm:MiniCPMV47"},
}


def backend_of(model_type: str) -> str | None:
    """The backend that runs checkpoints of a model type; `None` where there is none."""
    return next((name for name, types in FAMILIES.items() if model_type in types), None)
