"""The configuration of a run: seven sections, every key with its default and one sentence.

Fields that change results are part of a run's identity; the ones marked `operation()` are not.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
)

from dsb.config.address import without_password

#: The system that answers without a picture, where `system.blind` asks for it: S2 with its eyes closed.
BLIND = "blind"

TaskName = Literal["proactive", "clue", "realtime", "reasoning", "sequential"]


def operation(default: Any, description: str, **rules: Any) -> Any:
    """A field that decides how a run is carried out but not what it finds."""
    return Field(default, description=description, json_schema_extra={"operation": True}, **rules)


def _to_fraction(value: object) -> object:
    if not isinstance(value, int | float | str):
        return value
    try:
        return Fraction(str(value))
    except ZeroDivisionError as error:
        raise ValueError(f"{value} divides by zero") from error


Rate = Annotated[
    Fraction,
    BeforeValidator(_to_fraction),
    PlainSerializer(str, return_type=str),
    Field(gt=0),
]


#: Where a stream comes from; its password stays out of everything that is written down.
Address = Annotated[str, PlainSerializer(without_password, return_type=str)]


class Section(BaseModel):
    """Base of all sections: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SynthConfig(Section):
    """Synthetic streams to generate before the run."""

    sessions: int = Field(8, ge=1)
    """Number of streams."""
    seed: int = Field(0, ge=0)
    """Streams and questions are a function of it."""
    level: Literal["easy", "default", "hard"] = "default"
    """Difficulty: 60, 120 or 300 s of stream, and how far back questions reach."""


class DatasetConfig(Section):
    """Which questions about which videos."""

    data_dir: str = "data"
    """Root of the videos."""
    items_dir: str | None = None
    """The folder that holds `final/` with the items; none is `data_dir`, or its parent where only
    that holds `final/`."""
    benchmark: str = "all"
    """`all`, a task set (`clue`, `realtime`, ...), `memory_ablation` or `memory_ablation/NAME`, or
    the path of an items file anywhere."""
    format: str = "items"
    """Name of the benchmark's loader; `items` reads `dsb-items/1`."""
    shard: str | None = None
    """Only this shard: `I/N` (the I-th of N, from 1) or the name of a file in `final/shards`."""
    max_samples: int | None = Field(None, ge=1)
    """Stop after this many items, taken in order, whole sequential chains kept together."""
    protocol: str = "default"
    """Named rule set for prompts, history and scoring."""
    synth: SynthConfig | None = None
    """Make these synthetic streams below `data_dir` first, unless they are already there."""


class ModelConfig(Section):
    """Which model answers."""

    backend: str = "qwen"
    """Registered backend: `qwen`, ... ."""
    path: str = "embedded"
    """Folder or hub id; `embedded` is the tiny model in the package."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of weights and activations; `auto` is float32 on CPU and bfloat16 on a GPU."""
    quantization: Literal["none", "int8", "int4"] = "none"
    """Weights of the language model in 8 bits (torchao) or 4 (bitsandbytes, NF4), quantised while
    loading; the vision tower keeps `dtype`."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, ... ."""
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = None
    """Spread the weights over several devices, as accelerate does; none puts all of them on
    `device`."""
    attention: Literal["auto", "flash", "sdpa", "eager"] = "auto"
    """Attention kernels of the language model; `auto` is `sdpa`, which picks flash where it can."""
    compile: bool = operation(
        False,
        "Compile forwards of few tokens (polls, questions, decoding) with `torch.compile`, on a GPU "
        "into CUDA graphs; takes a minute or two when the model is loaded.",
    )
    prompt: Literal["reference", "hf"] = "reference"
    """Whose prompt and positions, where they differ: the code of the model's maker, or
    transformers."""
    hub: Literal["hf", "modelscope"] = "hf"
    """Where hub ids are looked up."""
    threads: int | None = operation(
        None, "CPU threads of all models of the process; none lets the library choose."
    )


class VideoConfig(Section):
    """How frames are sampled and sized."""

    fps: Rate = Fraction(1)
    """Frames per second of stream time; a fraction such as `1/2` or `30000/1001` is exact."""
    width: int | None = Field(None, ge=1)
    """Width of the frames that the model sees; none asks the model."""
    height: int | None = Field(None, ge=1)
    """Height of the frames that the model sees; none asks the model."""
    strict: bool = True
    """Stop a session at the first damage that the decoder reports; otherwise count it."""
    ffmpeg: str | None = operation(None, "Path of the ffmpeg binary; none searches for one.")
    prune: Literal["auto", "off"] = operation(
        "auto", "Leave out packets that no tick needs; frames are the same."
    )
    decoder_threads: Literal["auto"] | Annotated[int, Field(ge=1)] = operation(
        "auto", "Threads of each decoder process; `auto` measures once per machine."
    )
    hwaccel: Literal["none", "cuda", "vaapi", "auto"] = "none"
    """Hardware decoder, whose pixels may differ; without one that works, software decodes."""


class WindowConfig(Section):
    """Which frames a system may look at for one query."""

    max_frames: int = Field(8, ge=1)
    """Newest frames that count."""
    span_s: float | None = Field(None, gt=0)
    """Seconds that the window reaches back; none is unlimited."""
    fps: Rate | None = None
    """Sampling inside the window; none takes every sampled frame. Local models encode such a window
    anew for every question."""
    kv: Literal["auto", "strict", "evict", "view"] = "auto"
    """`reuse: kv`: what becomes of keys and values when frames leave. `strict`: prefill the window
    again. `evict`: keep the others. `view`: S1 looks into S2's. `auto`: S1 `strict`, S2 `evict`
    where the model can."""


class SystemConfig(Section):
    """One of the two systems."""

    window: WindowConfig = WindowConfig()
    """What it sees."""
    answering: Literal["text", "likelihood", "structured"] = "text"
    """`text`: generate and extract. `likelihood`: the likeliest option. `structured`: a JSON
    object with answer, confidence and need_s2, enforced where the model's tokenizer allows it;
    give it 64 new tokens."""
    prompt: str = "{question}{options}"
    """Text of a question; `{question}`, `{options}`, `{memory}` are filled in."""
    max_new_tokens: int = Field(16, ge=1)
    """Longest answer."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    retrieve: int = Field(0, ge=0)
    """Memory records put into the prompt."""
    model: ModelConfig | None = None
    """Its own model; none uses the section `model`."""


class RouterConfig(Section):
    """One router and its settings."""

    name: str = "s1_uncertainty"
    """Registered router: `always_s1`, `always_s2`, `rule` (settings: rules), `s1_uncertainty`
    (settings: threshold)."""
    label: str | None = None
    """How reports call it, so that one router can appear twice; none is its name."""
    settings: dict[str, JsonValue] = {}
    """Of this router alone; it knows them and checks them."""

    @property
    def called(self) -> str:
        """Its label, or its name without one; unique in a run."""
        return self.label or self.name


class SchedulerConfig(Section):
    """Who decides which system answers."""

    router: RouterConfig = RouterConfig()
    """The router that decides in `collect: routed`."""
    compare: tuple[RouterConfig, ...] = ()
    """Further routers whose decisions are logged and scored (`collect: both`)."""
    fallback: Literal["s1", "s2"] = "s1"
    """What happens when a router fails."""


class CacheConfig(Section):
    """Reuse of visual work inside a session."""

    reuse: Literal["none", "embed", "kv"] = "kv"
    """`none`: every question encodes its window again. `embed`: each frame is encoded once. `kv`:
    and prefilled once."""
    prefill_stride: int = operation(
        1, "Temporal patches that are prefilled together; the answers do not depend on it.", ge=1
    )
    visual_bytes: int = operation(
        1 << 30, "Memory for encoded frames of one session, in bytes.", ge=1
    )
    arena_bytes: int = operation(
        8 << 30, "Memory for keys and values of one conversation, in bytes.", ge=1
    )
    context_tokens: int | None = Field(None, ge=1)
    """Keep at most this many tokens of frames in the context (`window.kv: evict`); none is the
    whole window."""
    eviction: Literal["oldest", "random", "stride-thinned"] = "oldest"
    """Which temporal patch leaves a full window (`window.kv: evict`)."""
    eviction_seed: int = Field(0, ge=0)
    """Seed of `eviction: random`."""
    sinks: int = Field(0, ge=0)
    """First temporal patches that never leave (`window.kv: evict`)."""
    position: Literal["auto", "original", "anchor"] = "auto"
    """Positions once frames have left: `original` keeps them, `anchor` moves what never leaves next
    to the window; `auto` is `original` for models whose positions follow time."""


class ProactiveConfig(Section):
    """How standing instructions are polled and scored."""

    tick_s: Rate = Fraction(1)
    """Seconds between two polls."""
    threshold: float = Field(0.5, ge=0, le=1)
    """A tick whose score is at least this is a wish to speak."""
    rearm_ticks: int = Field(2, ge=1)
    """Quiet ticks before the same instruction may speak again."""


class SystemsConfig(Section):
    """S1, S2 and how they work together."""

    s1: SystemConfig = SystemConfig()
    """The fast system: a short window."""
    s2: SystemConfig = SystemConfig(window=WindowConfig(max_frames=256))
    """The slow system: a long window and memory."""
    scheduler: SchedulerConfig = SchedulerConfig()
    """The router."""
    streaming_embed_cache: CacheConfig = CacheConfig()
    """Reuse of encoded frames."""
    proactive: ProactiveConfig = ProactiveConfig()
    """Standing instructions."""
    collect: Literal["routed", "both"] = "both"
    """`routed`: the router's choice answers. `both`: both systems answer everything, so that any
    router can be judged from the log."""
    blind: bool = True
    """Also ask every question without a picture: the control against guessing."""


class MemoryConfig(Section):
    """What S2 can look up."""

    turns: int = Field(4, ge=0)
    """Short-term memory: last turns of a dialogue that stand in the prompt."""
    long_term: bool = False
    """Keep a long-term store per stream."""
    encoder: str = "hash"
    """Registered text encoder."""
    write: tuple[Literal["dialogue", "observation"], ...] = ("dialogue",)
    """What is written: finished turns, and S1's answers to `observe_prompt`."""
    observe_prompt: str = "What is visible now?"
    """Question behind an observation."""
    observe_every_s: float = Field(10.0, gt=0)
    """Seconds between two observations."""


class StreamConfig(Section):
    """How the video is played."""

    mode: Literal["stream", "offline"] = "stream"
    """`stream`: one session per video, played once. `offline`: each item on its own decode, the
    naive baseline."""
    clock: Literal["virtual", "realtime"] = "virtual"
    """`virtual`: as fast as possible. `realtime`: paced by the wall clock."""
    source: Address | None = None
    """Play this instead of the items' videos, for all items: a file, `rtsp://...`, `http://...`, a
    camera (`/dev/video0`) or `-` for standard input. All but a file need `clock: realtime`."""
    listen: bool = operation(False, "Wait for the RTSP source to connect to us.")
    reconnect_s: float = operation(
        60.0, "Seconds for which a lost live source is tried again; 0 is never.", ge=0
    )
    stall_s: float = operation(
        10.0, "Seconds without data after which the connection to a source counts as lost.", gt=0
    )
    analyze_s: float = operation(
        1.0, "Seconds of a live stream that ffmpeg may look at before its first frame.", gt=0
    )
    queue_frames: int = operation(64, "Frames that the decoder may be ahead.", ge=1)


class OutputConfig(Section):
    """Where results go and how long a run goes on."""

    dir: str = operation("results", "Folder of all runs.")
    name: str = operation("run", "First part of the run directory's name.")
    save_text: bool = operation(True, "Keep the full text of every call in the log.")
    max_errors: float = operation(
        0.2, "Stop when more queries failed: a share below 1, a count from 1 on.", ge=0
    )
    retries: int = operation(2, "Further tries of a query whose error may heal.", ge=0)


class RunConfig(Section):
    """Everything that one run is made of."""

    dataset: DatasetConfig = DatasetConfig()
    model: ModelConfig = ModelConfig()
    video: VideoConfig = VideoConfig()
    system: SystemsConfig = SystemsConfig()
    memory: MemoryConfig = MemoryConfig()
    stream: StreamConfig = StreamConfig()
    output: OutputConfig = OutputConfig()
    seed: int = Field(0, ge=0)
    """Seed of everything random in the run."""

    @property
    def models(self) -> dict[str, ModelConfig]:
        """`s1` and `s2` -> the model that it has: its own, or that of the section `model`."""
        systems = {"s1": self.system.s1, "s2": self.system.s2}
        return {name: system.model or self.model for name, system in systems.items()}
