"""What benches/engine.py compares: the engine, and three ways to ask the stock model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from dsb._core import FrameSource, WindowSpec
from dsb.benchmarks.item import YES_NO
from dsb.models.backend import Conversation, Generation, Message, Reply, Request, StreamSpec
from dsb.models.local.backend import LocalBackend
from dsb.models.local.checkpoint.load import Checkpoint
from dsb.models.local.families.tokens import Clock, Cursor, PatchGrid
from dsb.stream.binary import find_ffmpeg
from dsb.stream.view import StreamView

NS_PER_S = 1_000_000_000
#: Frames that come together.
BATCH = 8
#: Tokens of one forward when the plain cache is filled.
_CHUNK = 4096


class Player:
    """A moving pattern, `frames` long, all of it in the ring."""

    def __init__(self, side: int, frames: int, fps: int = 1) -> None:
        self.side = side
        self.fps = fps
        argv = [
            str(find_ffmpeg()), "-hide_banner", "-nostdin", "-loglevel", "error", "-f", "lavfi",
            "-i", f"testsrc2=size={side}x{side}:rate={fps}", "-frames:v", str(frames), "-c:v", "rawvideo",
            "-pix_fmt", "rgb24", "-write_index", "0", "-f", "nut", "pipe:1",
        ]  # fmt: skip
        self.source = FrameSource(argv, name="pattern", capacity=frames + 1)
        if not self.source.frames.wait(frames - 1, timeout_s=600):
            raise SystemExit("the pattern ended early")

    def show(self, conversation: Conversation, start: int, stop: int) -> None:
        """Frames `[start, stop)` come on screen."""
        with self.source.frames.window(start, stop) as window:
            conversation.observe(window)

    def view(self, frame: int) -> StreamView:
        """The moment at which `frame` comes on screen."""
        return StreamView(self.source.frames, frame * NS_PER_S // self.fps, timeout_s=60)

    def pixels(self, start: int, stop: int) -> Tensor:
        """(stop - start, side, side, 3) uint8."""
        with self.source.frames.window(start, stop) as window:
            return torch.from_numpy(np.array(window))

    def spec(self, session: str, max_frames: int) -> StreamSpec:
        """A window of the newest `max_frames`."""
        window = WindowSpec(max_frames=max_frames)
        return StreamSpec(session, "s2", (self.side, self.side), Fraction(self.fps), window)

    def request(
        self, frame: int, text: str, candidates: Sequence[str] = (), tokens: int = 1
    ) -> Request:
        """A question at the moment of `frame`."""
        view, generation = self.view(frame), Generation(max_new_tokens=tokens)
        messages = (Message("user", text),)
        return Request("q", view.t_ns, messages, view, tuple(candidates), generation)


@dataclass(frozen=True)
class Spent:
    """What one piece of work took."""

    seconds: float
    """Wall time on an idle device, until the device was idle again."""
    extra_bytes: int | None
    """Most device memory above what was allocated before; `None` where nobody counts."""
    result: Any


class Meter:
    """Measures work on a device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type == "cuda" else None

    def __call__(self, work: Callable[[], Any]) -> Spent:
        """Do it."""
        before = self._ready()
        begun = time.perf_counter()
        result = work()
        if self._device is not None:
            torch.cuda.synchronize(self._device)
        seconds = time.perf_counter() - begun
        if self._device is None or before is None:
            return Spent(seconds, None, result)
        return Spent(seconds, torch.cuda.max_memory_allocated(self._device) - before, result)

    @property
    def held_bytes(self) -> int | None:
        """Device memory that is allocated now."""
        return None if self._device is None else torch.cuda.memory_allocated(self._device)

    def _ready(self) -> int | None:
        if self._device is None:
            return None
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        return torch.cuda.memory_allocated(self._device)


class Engine:
    """`reuse: kv`: each frame is encoded once and read once."""

    def __init__(self, backend: LocalBackend, player: Player, frames: int, session: str) -> None:
        """Conversations of one `session` share encoded frames."""
        self.conversation = backend.open(player.spec(session, frames))
        self._player = player
        self._shown = 0
        self.meter = Meter(backend.family.device)

    def read(self, frames: int) -> tuple[float, int]:
        """Take in everything until `frames`; wall seconds and how many frames that were."""
        before = self._shown

        def take() -> None:
            while self._shown < frames:
                stop = min(self._shown + BATCH, frames)
                self._player.show(self.conversation, self._shown, stop)
                self._shown = stop

        return self.meter(take).seconds, frames - before

    def ask(self, text: str, tokens: int) -> Reply:
        """Generate an answer."""
        return self.conversation.ask(self._player.request(self._shown - 1, text, tokens=tokens))

    def metered(self, text: str) -> Spent:
        """Generate one token; the result is it as text, the seconds end with it."""
        spent = self.meter(lambda: self.ask(text, 1))
        reply: Reply = spent.result
        return replace(spent, seconds=reply.timing.ttft_ns / 1e9, result=reply.text)

    def poll(self, text: str) -> Reply:
        """Score yes and no."""
        return self.conversation.ask(self._player.request(self._shown - 1, text, YES_NO))


@dataclass(frozen=True)
class Prompt:
    """A whole prompt as the stock model takes it."""

    ids: Tensor
    """(1, n)"""
    positions: Tensor
    """(3, 1, n)"""
    grid: Tensor
    """(1, 3): patches, rows, columns."""


class Stock:
    """The same model through transformers' own code, with its own attention functions."""

    def __init__(self, checkpoint: Checkpoint, player: Player, text: str) -> None:
        self._family, self._chat = checkpoint.family, checkpoint.chat
        self._player = player
        self._grid: PatchGrid = self._family.grid((player.side, player.side))
        self._prompt = self._chat.prompt((Message("user", text),))
        self._embeds: list[Tensor] = []
        self._cache = DynamicCache(config=self._family.model.config.get_text_config())
        self._meter = Meter(self._family.device)

    def scratch(self, patches: int) -> Spent:
        """`generate` from pixels; the result is the first token, as of all of these."""
        span = self._family.span
        prompt = self._whole(patches)

        def work() -> int:
            pixels = torch.cat(
                [
                    self._family.pixels(self._player.pixels(k * span, (k + 1) * span))
                    for k in range(patches)
                ]
            )
            return self._generate(prompt, pixel_values_videos=pixels.to(self._family.dtype))

        with self._own_attention():
            return self._meter(work)

    def embedded(self, patches: int) -> Spent:
        """`generate` with embeddings that were computed before."""
        self._encode(patches)
        prompt = self._whole(patches)
        whole = torch.cat(self._embeds[:patches])
        output = BaseModelOutputWithPooling(pooler_output=(whole,))

        with self._own_attention():
            return self._meter(lambda: self._generate(prompt, mm_encoder_outputs={"video": output}))

    def cropped(self, patches: int) -> Spent:
        """A `DynamicCache` that holds everything up to the question, which is cropped off again."""
        self._encode(patches)
        prompt = self._whole(patches)
        tail = len(self._prompt.tail)
        with self._own_attention():
            self._fill(prompt, prompt.ids.shape[1] - tail)

            def work() -> int:
                last = self._forward(prompt, prompt.ids.shape[1] - tail, prompt.ids.shape[1])
                return int(self._family.logits(last[-1:]).argmax())

            spent = self._meter(work)
            self._cache.crop(-tail)
        return spent

    def text(self, token: int) -> str:
        """As the engine's replies say it."""
        return self._chat.text([token])

    def _encode(self, patches: int) -> None:
        span = self._family.span
        for number in range(len(self._embeds), patches):
            pixels = self._player.pixels(number * span, (number + 1) * span)
            self._embeds.append(self._family.encode(pixels)[0])

    def _whole(self, patches: int) -> Prompt:
        family, tokens = self._family, self._grid.tokens * patches
        head, tail = self._prompt.head, self._prompt.tail
        pad = family.tokenizer.convert_tokens_to_ids(family.pad)
        ids = torch.tensor([[*head, *[pad] * tokens, *tail]], device=family.device)
        clock = Clock(self._grid, Fraction(self._player.fps))
        cursor = Cursor(len(head), len(head))
        places = [family.line(0, len(head))]
        for number in range(patches):
            place, cursor = family.place(cursor, number, clock)
            places.append(place)
        places.append(family.line(cursor.next, len(tail)))
        merge = family.model.config.vision_config.spatial_merge_size
        shape = [patches, self._grid.height * merge, self._grid.width * merge]
        grid = torch.tensor([shape], device=family.device)
        return Prompt(ids, torch.cat(places, dim=1)[:, None], grid)

    def _generate(self, prompt: Prompt, **seen: Any) -> int:
        model = self._family.model
        model.model.rope_deltas = None
        written = model.generate(
            input_ids=prompt.ids,
            position_ids=prompt.positions,
            attention_mask=torch.ones_like(prompt.ids),
            video_grid_thw=prompt.grid,
            mm_token_type_ids=(prompt.ids == model.config.video_token_id).int() * 2,
            max_new_tokens=1,
            do_sample=False,
            eos_token_id=None,
            **seen,
        )
        return int(written[0, -1])

    def _fill(self, prompt: Prompt, stop: int) -> None:
        """Prefill up to `stop`, in chunks."""
        begun = self._cache.get_seq_length()
        for start in range(begun, stop, _CHUNK):
            self._forward(prompt, start, min(start + _CHUNK, stop))

    def _forward(self, prompt: Prompt, start: int, stop: int) -> Tensor:
        family, head = self._family, len(self._prompt.head)
        tokens = self._grid.tokens
        embeds = family.model.get_input_embeddings()(prompt.ids[0, start:stop])
        for number, patch in enumerate(self._embeds):
            low, high = head + number * tokens, head + (number + 1) * tokens
            first, last = max(low, start), min(high, stop)
            if first < last:
                embeds[first - start : last - start] = patch[first - low : last - low]
        output: Tensor = family.model.model.language_model(
            inputs_embeds=embeds[None],
            position_ids=prompt.positions[:, :, start:stop],
            use_cache=True,
            **{family.cache_keyword: self._cache},
        ).last_hidden_state
        return output[0]

    @contextmanager
    def _own_attention(self) -> Iterator[None]:
        model = self._family.model
        ours = model.config.get_text_config()._attn_implementation
        model.set_attn_implementation({"text_config": "sdpa"})
        try:
            with torch.inference_mode():
                yield
        finally:
            model.set_attn_implementation({"text_config": ours})
