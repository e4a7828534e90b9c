"""What the stock processors and models make of a whole video and a question, one model type at a time.

Written from the library's processors, not from the families under test. The video processors of the library need
torchvision, so pixels come from its image processors, which do the same to every frame.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import (
    MiniCPMV4_6ImageProcessorPil,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

PROCESSORS = {
    "llava": CLIPImageProcessorPil,
    "llava_next_video": CLIPImageProcessorPil,
    "llava_onevision": SiglipImageProcessorPil,
    "internvl": GotOcr2ImageProcessorPil,
    "minicpmv4_6": MiniCPMV4_6ImageProcessorPil,
    "minicpmv4_7": MiniCPMV4_6ImageProcessorPil,
}
USED = (
    "size", "crop_size", "do_center_crop", "resample", "image_mean", "image_std", "patch_size", "merge_size",
    "temporal_patch_size", "min_pixels", "max_pixels", "scale_resolution",
)  # fmt: skip
IMAGES = ("llava", "internvl")
Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class StockVideo:
    """A video of `frames` (T, H, W, 3) at `fps` with a question, as `family` is given it by transformers."""

    family: str
    folder: Path
    model: Any
    tokenizer: Any
    frames: Frames
    fps: Fraction
    #: Visual tokens of one temporal patch.
    tokens: int
    #: Whose prompt, where the maker's code and transformers differ.
    rule: str

    @property
    def span(self) -> int:
        return 2 if self.family.startswith("qwen") else 1

    @property
    def patches(self) -> int:
        return -(-len(self.frames) // self.span)

    @property
    def seconds(self) -> list[float]:
        """Mean time of the frames of each temporal patch; a lone last frame is a pair of itself."""
        times = [i / float(self.fps) for i in range(len(self.frames))]
        times += times[-1:] * (-len(times) % self.span)
        return [sum(times[i : i + self.span]) / self.span for i in range(0, len(times), self.span)]

    # -- text --------------------------------------------------------------------------------------

    def text(self, turns: Sequence[tuple[str, str]]) -> str:
        """The prompt for `turns` of role and text, the video in the first, every visual token spelt out."""
        medium = [{"type": "video"}]
        if self.family == "llava":
            medium = [{"type": "image"}] * self.patches
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns
        ]
        messages[0]["content"] = [*medium, *messages[0]["content"]]
        text: str = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        n = self.tokens
        if self.family.startswith("qwen3_vl"):
            pad = "<|video_pad|>"
            open_, close = "<|vision_start|>", "<|vision_end|>"
            video = "".join(f"<{s:.1f} seconds>{open_}{pad * n}{close}" for s in self.seconds)
            return text.replace(pad if self.rule == "hf" else open_ + pad + close, video)
        if self.family.startswith("qwen"):
            return text.replace("<|video_pad|>", "<|video_pad|>" * n * self.patches)
        if self.family == "llava":
            return text.replace("<image>", "<image>" * n)
        if self.family.startswith("minicpm"):
            # The processor of 4.6 numbers a video, its maker does not; 4.7 has no numbers.
            numbered = self.rule == "hf" and self.family == "minicpmv4_6"
            frames = f"<image>{'<|video_pad|>' * n}</image>" * self.patches
            return text.replace("<|video_pad|>", "<image_id>0</image_id>" * numbered + frames)
        if self.family == "internvl":
            tile = f"<img>{'<IMG_CONTEXT>' * n}</img>"
            frames = (f"Frame{i + 1}: {tile}" for i in range(self.patches))
            return text.replace("<video>", "\n".join(frames))
        newline = 1 if self.family == "llava_onevision" else 0
        return text.replace("<video>", "<video>" * (n * self.patches + newline))

    def ids(self, text: str) -> list[int]:
        """As a processor tokenises it."""
        ids: list[int] = self.tokenizer(text).input_ids
        return ids

    # -- pixels ------------------------------------------------------------------------------------

    def pixels(self) -> torch.Tensor:
        """Of all frames: (T, 3, H, W), the patch rows of the Qwen families, or (T, 3, p, n * p) of MiniCPM."""
        if self.family.startswith("qwen"):
            return self._patch_rows()
        if self.family.startswith("minicpm"):
            processor = self._processor(do_resize=False, slice_mode=False)
            packed = processor(list(self.frames), return_tensors="pt").pixel_values
            return torch.cat(packed.chunk(len(self.frames), dim=-1))
        return self._processor()(images=list(self.frames), return_tensors="pt").pixel_values

    def _processor(self, **more: Any) -> Any:
        kind = PROCESSORS.get(self.family, Qwen2VLImageProcessorPil)
        settings = json.loads((self.folder / "preprocessor_config.json").read_text())
        return kind(**{key: settings[key] for key in USED if key in settings}, **more)

    def _patch_rows(self) -> torch.Tensor:
        """An image is a pair of itself; the halves of two images make a pair of frames."""
        frames = list(self.frames)
        frames += frames[-1:] * (len(frames) % 2)
        rows = self._processor(do_resize=False)(images=frames, return_tensors="pt").pixel_values
        side = self.model.config.vision_config.patch_size
        rows = rows.reshape(len(frames), -1, 3, 2, side, side)
        pairs = torch.stack([rows[0::2, :, :, 0], rows[1::2, :, :, 1]], dim=3)
        return pairs.reshape(-1, 3 * 2 * side * side)

    # -- model -------------------------------------------------------------------------------------

    @property
    def grid(self) -> list[int]:
        side = self.model.config.vision_config.patch_size
        return [self.patches, self.frames.shape[1] // side, self.frames.shape[2] // side]

    def packed(self) -> dict[str, torch.Tensor]:
        """What MiniCPM takes: the frames side by side, and rows and columns of patches of each."""
        return {
            "pixel_values_videos": torch.cat(list(self.pixels()), dim=-1)[None],
            "target_sizes_videos": torch.tensor([self.grid[1:]] * len(self.frames)),
        }

    def features(self) -> list[torch.Tensor]:
        """(1 + depth, tokens, width) of each temporal patch, all encoded in one call."""
        model, pixels = self.model.model, self.pixels()
        if self.family.startswith("qwen"):
            output = model.get_video_features(pixels, torch.tensor([self.grid]), return_dict=True)
            deep = [video[0] for video in getattr(output, "deepstack_features", None) or []]
            return list(torch.stack([output.pooler_output[0], *deep]).split(self.tokens, dim=1))
        if self.family.startswith("minicpm"):
            output = model.get_video_features(**self.packed(), return_dict=True)
            return [each[None] for each in output.pooler_output]
        if self.family in IMAGES:
            return [
                each[None]
                for each in model.get_image_features(pixels, return_dict=True).pooler_output
            ]
        output = model.get_video_features(pixels[None], return_dict=True)
        whole = output.pooler_output[0, : self.tokens * self.patches]
        return list(whole[None].split(self.tokens, dim=1))

    def inputs(self, ids: list[int]) -> dict[str, Any]:
        """Of the stock model: token ids and pixels, and what it derives positions from."""
        tokens = torch.tensor([ids])
        inputs: dict[str, Any] = {"input_ids": tokens}
        if self.family.startswith("qwen"):
            self.model.model.rope_deltas = None
            inputs |= {
                "video_grid_thw": torch.tensor([self.grid]),
                "mm_token_type_ids": (tokens == self.model.config.video_token_id).int() * 2,
                "pixel_values_videos": self.pixels(),
            }
            if self.family == "qwen2_5_vl":
                inputs["second_per_grid_ts"] = torch.tensor([float(self.span / self.fps)])
        elif self.family.startswith("minicpm"):
            inputs |= self.packed()
            if self.family == "minicpmv4_7":
                self.model.model.rope_deltas = None
                inputs["mm_token_type_ids"] = (tokens == self.model.config.video_token_id).int() * 2
        elif self.family in IMAGES:
            inputs["pixel_values"] = self.pixels()
        else:
            inputs["pixel_values_videos"] = self.pixels()[None]
        if self.family in ("qwen2_vl", "qwen2_5_vl") and self.rule == "reference":
            inputs["position_ids"] = self.positions(ids)
        return inputs

    def positions(self, ids: list[int]) -> torch.Tensor:
        """(3, 1, n) of Qwen2-VL by its maker's code: text goes on behind the largest position of the video."""
        pad = self.model.config.video_token_id
        first, step = ids.index(pad), Fraction(1)
        per_second = getattr(self.model.config.vision_config, "tokens_per_second", None)
        if per_second is not None:
            step = per_second * self.span / self.fps
        patches, height, width = self.grid
        spots = [
            (first + int(t * step), first + h, first + w)
            for t in range(patches)
            for h in range(height // 2)
            for w in range(width // 2)
        ]
        after = max(map(max, spots)) + 1
        rest = len(ids) - first - len(spots)
        places = [(i,) * 3 for i in range(first)] + spots + [(after + i,) * 3 for i in range(rest)]
        return torch.tensor(places).T[:, None]

    def logits(self, ids: list[int]) -> torch.Tensor:
        """(n, vocabulary) of one forward from pixels."""
        scores: torch.Tensor = self.model(**self.inputs(ids)).logits[0]
        return scores

    def logits_of(self, ids: list[int], patches: Sequence[torch.Tensor]) -> torch.Tensor:
        """The same from embeddings (1 + depth, tokens, width) of each patch, through the model's public door."""
        inputs = self.inputs(ids)
        for key in ("pixel_values", "pixel_values_videos"):
            inputs.pop(key, None)
        key, output = "video", BaseModelOutputWithPooling()
        if self.family.startswith("qwen"):
            whole = torch.cat(list(patches), dim=1)
            output = BaseModelOutputWithDeepstackFeatures(
                pooler_output=(whole[0],), deepstack_features=[(each,) for each in whole[1:]]
            )
        elif self.family.startswith("minicpm"):
            output.pooler_output = [each[0] for each in patches]
        elif self.family in IMAGES:
            key, tensor = "image", self.family == "internvl"
            output.pooler_output = torch.cat(list(patches)) if tensor else [e[0] for e in patches]
        else:
            parts = [each[0] for each in patches]
            if self.family == "llava_onevision":
                parts.append(self.model.model.image_newline[None])
            output.pooler_output = torch.cat(parts)[None]
        scores: torch.Tensor = self.model(**inputs, mm_encoder_outputs={key: output}).logits[0]
        return scores

    def generate(self, ids: list[int], count: int) -> list[int]:
        """Greedy tokens, as many as asked for."""
        written = self.model.generate(
            **self.inputs(ids),
            attention_mask=torch.ones((1, len(ids)), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=None,
        )
        new: list[int] = written[0, len(ids) :].tolist()
        return new
