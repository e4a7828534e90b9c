"""What is known about a checkpoint before it is loaded: its files, its memory, its time, whether it fits."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from dsb.config.schema import BLIND, CacheConfig, RunConfig
from dsb.errors import ModelError
from dsb.models.backend import StreamSpec
from dsb.models.local.checkpoint.folder import read_config
from dsb.models.local.checkpoint.placement import pick_dtype
from dsb.models.local.checkpoint.weightless import without_weights
from dsb.models.local.checkup import footprint
from dsb.models.local.checkup.accelerators import Device
from dsb.models.local.checkup.file_problems import file_problems, quantized_by
from dsb.models.local.checkup.footprint import Parameters
from dsb.models.local.checkup.roofline import Floors, Work
from dsb.models.local.engine.choose_prefill import PrefillFactory
from dsb.models.local.engine.forward import Forward
from dsb.models.local.engine.shared import Session
from dsb.models.local.families import backend_of
from dsb.models.local.vision.patch import EncodedPatch
from dsb.models.local.vision.window import patches_needed
from dsb.stream.window import window_spec

#: Tokens of a question for the estimates; a question with four options has about as many.
QUESTION_TOKENS = 64
#: More slots than this no ledger has.
_MOST_SLOTS = (1 << 32) - 2


@dataclass(frozen=True)
class TemporalPatch:
    """One temporal patch of the stream."""

    #: Width and height of the frames that the model is given.
    size: tuple[int, int]
    #: Frames per temporal patch, and per second of stream time.
    span: int
    fps: float
    #: Visual tokens, and tokens of text around them.
    visual_tokens: int
    text_tokens: int
    kv_bytes_per_token: int
    kv_bytes_per_frame: int
    #: As if nothing ever left the context.
    kv_bytes_per_hour: int
    #: In the visual cache, what the first layers add included.
    embedding_bytes_per_frame: int

    @property
    def tokens(self) -> int:
        """Tokens of a temporal patch and the text around it."""
        return self.visual_tokens + self.text_tokens


@dataclass(frozen=True)
class SystemMemory:
    """The context of one system."""

    #: `s1`, `s2`, or `blind`: the control that sees nothing.
    name: str
    #: Temporal patches of a full window.
    patches: int
    #: Keys and values, with room for questions; and recurrent states.
    arena_bytes: int


@dataclass(frozen=True)
class Memory:
    """Bytes on the device, one session playing."""

    weights: int
    arenas: int
    visual_cache: int
    #: Activations of the largest forward, an estimate.
    workspace: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.arenas + self.visual_cache + self.workspace


@dataclass(frozen=True)
class Checkup:
    """The findings about one checkpoint."""

    folder: str
    family: str
    backend: str
    dtype: str
    quantization: str
    parameters: Parameters
    patch: TemporalPatch
    systems: tuple[SystemMemory, ...]
    memory: Memory
    device: Device
    #: `None` where the speed of the device is not known.
    floors: Floors | None
    #: What is wrong with the files, or with the budgets of the configuration.
    problems: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether the device has the memory."""
        return self.memory.total <= self.device.usable


def examine(
    folder: Path, config: RunConfig, device: Device, source_size: tuple[int, int]
) -> Checkup:
    """Examine the checkpoint in `folder` as `config` would use it. Loads no weights.

    `source_size` is width and height of the videos, for families that keep their proportions.

    Raises:
        ModelError: not a checkpoint, of a family that nothing here runs, with a chat template that fails the test,
            or unable to take frames of the configured size.
    """
    return _Examination(folder, config, device, source_size).result()


class _Examination:
    """One checkpoint under one configuration."""

    def __init__(
        self, folder: Path, config: RunConfig, device: Device, source_size: tuple[int, int]
    ) -> None:
        self._folder = folder
        self._config = config
        self._device = device
        where = torch.device("cpu" if device.name == "cpu" else "cuda")
        self._dtype = pick_dtype(config.model.dtype, where)
        # Whatever runs it: the question is about this checkpoint, not about `model.backend`.
        right = backend_of(str(read_config(folder).get("model_type"))) or config.model.backend
        model = config.model.model_copy(update={"backend": right, "path": str(folder)})
        self._checkpoint = without_weights(folder, model, self._dtype)
        family = self._checkpoint.family
        video = config.video
        wanted = family.frame_size(source_size)
        self._size = (video.width or wanted[0], video.height or wanted[1])
        self._grid = family.grid(self._size)
        self._text = family.model.config.get_text_config()
        self._parameters = footprint.count_parameters(family.model)
        self._quantized_by = quantized_by(folder)

    def result(self) -> Checkup:
        kind = self._checkpoint.family.model.config.model_type
        patch = self._patch()
        systems, visual_cache = self._open(self._without_limits())
        memory = self._memory(patch, systems, visual_cache)
        speed = self._device.speed(str(self._dtype).removeprefix("torch."))
        work = self._work(patch, systems)
        return Checkup(
            folder=str(self._folder),
            family=kind,
            backend=str(backend_of(kind)),
            dtype=str(self._dtype).removeprefix("torch."),
            quantization=self._quantized_by or self._config.model.quantization,
            parameters=self._parameters,
            patch=patch,
            systems=systems,
            memory=memory,
            device=self._device,
            floors=work.floors(speed) if speed else None,
            problems=(
                *file_problems(self._folder, self._parameters),
                *self._budgets(),
                *self._lengths(patch, systems),
            ),
        )

    def _patch(self) -> TemporalPatch:
        family = self._checkpoint.family
        fps, item = self._config.video.fps, self._dtype.itemsize
        wrap = self._checkpoint.chat.wrap(1, 12.5).tokens
        tokens = self._grid.tokens + wrap
        per_token = footprint.kv_bytes_per_token(self._text, item)
        embeds = footprint.embedding_bytes(self._grid.tokens, family.width, family.depth, item)
        return TemporalPatch(
            size=self._size,
            span=family.span,
            fps=float(fps),
            visual_tokens=self._grid.tokens,
            text_tokens=wrap,
            kv_bytes_per_token=per_token,
            kv_bytes_per_frame=per_token * tokens // family.span,
            kv_bytes_per_hour=int(per_token * tokens * fps * 3600 / family.span),
            embedding_bytes_per_frame=embeds // family.span,
        )

    def _specs(self) -> list[StreamSpec]:
        """The streams that this model watches: those of the systems without a model of their own, or of all."""
        systems = {"s1": self._config.system.s1, "s2": self._config.system.s2}
        own = {name: each for name, each in systems.items() if each.model is None} or systems
        fps = self._config.video.fps
        specs = []
        for name, system in own.items():
            window = system.window
            seen = window_spec(max_frames=window.max_frames, span_s=window.span_s, fps=window.fps)
            specs.append(StreamSpec("check", name, self._size, fps, seen, window.kv))
        # A view looks into what another system has read, so it opens last.
        specs.sort(key=lambda each: each.kv == "view")
        if self._config.system.blind and "s2" in own:
            specs.append(StreamSpec("check", BLIND, self._size, fps, None))
        return specs

    def _open(self, cache: CacheConfig) -> tuple[tuple[SystemMemory, ...], int]:
        """The context of every system and the bytes of the visual cache, as the engine itself allocates them.

        On the meta device memory has a size and no content.

        Raises:
            ModelError: a budget is too small.
        """
        family = self._checkpoint.family
        shape = (1 + family.depth, self._grid.tokens, family.width)
        black = EncodedPatch(0, 0.0, torch.empty(shape, dtype=family.dtype, device=family.device))
        factory = PrefillFactory(Forward(family), self._checkpoint.chat, cache)
        session = Session()
        state = footprint.state_bytes(self._text, self._dtype.itemsize)
        systems = []
        for spec in self._specs():
            prefill = factory.make(spec, self._grid, session, black)
            patches = 1
            if spec.window is not None:
                fps = spec.fps if spec.window.rate is None else Fraction(*spec.window.rate)
                patches = patches_needed(spec.window, fps, family.span)
            size = prefill.kv_bytes
            systems.append(SystemMemory(spec.system, patches, size + state if size else 0))
        return tuple(systems), sum(each.nbytes for each in session.caches.values())

    def _without_limits(self) -> CacheConfig:
        slot = footprint.kv_bytes_per_token(self._text, self._dtype.itemsize)
        room = {"arena_bytes": _MOST_SLOTS * slot, "visual_bytes": 1 << 62}
        return self._config.system.streaming_embed_cache.model_copy(update=room)

    def _memory(
        self, patch: TemporalPatch, systems: tuple[SystemMemory, ...], visual_cache: int
    ) -> Memory:
        item = self._dtype.itemsize
        longest = max(each.patches for each in systems)
        vision = self._checkpoint.family.model.config.vision_config
        return Memory(
            weights=self._weights_bytes(),
            arenas=sum(each.arena_bytes for each in systems),
            visual_cache=visual_cache,
            # A strict window may be read again as a whole.
            workspace=footprint.workspace_bytes(
                self._text, vision, longest * patch.tokens, self._vision_rows()[0], item
            ),
        )

    def _work(self, patch: TemporalPatch, systems: tuple[SystemMemory, ...]) -> Work:
        rows, images = self._vision_rows()
        return Work(
            text=self._text,
            vision=self._checkpoint.family.model.config.vision_config,
            parameters=self._parameters,
            itemsize=self._dtype.itemsize,
            read_bytes=self._decode_bytes(),
            patch_tokens=patch.tokens,
            vision_rows=rows,
            vision_images=images,
            context=max(each.patches for each in systems) * patch.tokens,
            question=QUESTION_TOKENS,
        )

    def _weights_bytes(self) -> int:
        if self._quantized_by:
            return sum(path.stat().st_size for path in self._folder.glob("*.safetensors"))
        return footprint.weights_bytes(
            self._parameters, self._dtype.itemsize, self._config.model.quantization
        )

    def _decode_bytes(self) -> int:
        """Weights that a forward of the language model reads; of a checkpoint stored quantised, its share of all."""
        plain = footprint.decode_bytes(
            self._parameters, self._dtype.itemsize, self._config.model.quantization
        )
        if not self._quantized_by:
            return plain
        share = plain / footprint.weights_bytes(
            self._parameters, self._dtype.itemsize, self._config.model.quantization
        )
        return int(share * self._weights_bytes())

    def _vision_rows(self) -> tuple[int, int]:
        """Rows of the vision tower for one temporal patch, and images among which they attend."""
        family = self._checkpoint.family
        width, height = self._size
        frames = torch.zeros((family.span, height, width, 3), dtype=torch.uint8, device="meta")
        vision = family.model.config.vision_config
        side = vision.patch_size if isinstance(vision.patch_size, int) else vision.patch_size[0]
        together = getattr(vision, "temporal_patch_size", 1)
        rows = family.pixels(frames).numel() // (3 * side * side * together)
        return rows, family.span // together

    def _budgets(self) -> list[str]:
        try:
            self._open(self._config.system.streaming_embed_cache)
        except ModelError as error:
            return [str(error)]
        return []

    def _lengths(self, patch: TemporalPatch, systems: tuple[SystemMemory, ...]) -> list[str]:
        """Windows that are longer than what the language model was made for.

        Where positions follow time instead of tokens, no window of memory's size is.
        """
        family = self._checkpoint.family
        if family.axes > 1:
            return []
        limit = footprint.context_length(self._text)
        fits = max(1, (limit - QUESTION_TOKENS) // patch.tokens) * family.span
        return [
            f"the window of {each.name} is {each.patches * patch.tokens} tokens, and the language model was made "
            f"for {limit}: set system.{each.name}.window.max_frames={fits}"
            for each in systems
            if each.patches * patch.tokens > limit
        ]
