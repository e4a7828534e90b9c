"""What every model behind the benchmark looks like: a `Backend` opens a `Conversation` per session and system.

A conversation sees frames as they come on screen (`observe`), answers questions (`ask`), and decides at the
ticks of standing instructions (`watch`, `turn`). Times called `*_ns` are stream time, except `*_ns` inside
`Timing`, which are wall time.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

from dsb.config.schema import CacheConfig, ModelConfig

if TYPE_CHECKING:
    from dsb._core import Window, WindowSpec
    from dsb.stream.view import StreamView


@dataclass(frozen=True)
class Abilities:
    """What a backend can do; declared by it and copied into the log of every session."""

    #: `fork`: a question leaves no trace in the conversation. `kept`: it stays in the context.
    question: Literal["fork", "kept"]
    #: The replies carry log-probabilities of candidates.
    logprobs: bool
    #: It reads the pixels of the whole window whenever it is asked, so the frame ring must hold them.
    needs_window: bool
    #: How much of a frame's way the backend confirms.
    receipt: Literal["none", "accepted", "processed"]


@dataclass(frozen=True)
class StreamSpec:
    """One stream as one system watches it."""

    #: Name of the session; conversations of one session on one backend may share encoded frames.
    session: str
    #: Which system watches: `s1`, `s2`, `blind`.
    system: str
    #: Width and height of the frames in pixels.
    size: tuple[int, int]
    #: Sampling rate in frames per second of stream time.
    fps: Fraction
    #: What the system may look at for one query; `None` for a system that sees no frame (the blind control).
    window: WindowSpec | None
    #: With a KV cache, what becomes of the keys and values of the others when frames leave the window.
    kv: Literal["auto", "strict", "evict", "view"] = "auto"
    #: Frames may be missing: a live source drops those that nobody took in time.
    holes: bool = False


@dataclass(frozen=True)
class Message:
    """One turn of the dialogue that the model reads. The window's frames stand before the first one."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Generation:
    """How an answer is generated."""

    max_new_tokens: int = 16
    #: 0 is greedy.
    temperature: float = 0.0
    seed: int = 0
    #: Generation ends before any of these strings.
    stop: tuple[str, ...] = ()
    #: A JSON schema that the answer keeps to, as text, where the backend can enforce it; others ignore it.
    schema: str | None = None


@dataclass(frozen=True)
class Request:
    """One question to a conversation at stream time `t_ns`."""

    #: Its name in the log: the id of its item.
    query: str
    t_ns: int
    messages: tuple[Message, ...]
    #: The frames visible at `t_ns`, and no later one.
    view: StreamView
    #: Answer by likelihood: the reply carries one log-probability per candidate and its text is the likeliest one.
    #: Empty: generate text.
    candidates: tuple[str, ...] = ()
    generation: Generation = Generation()


@dataclass(frozen=True)
class Usage:
    """Tokens of one reply. `input` counts everything the model read, `visual` the part that came from frames,
    `cached` the part whose keys and values were already there.
    """

    input_tokens: int = 0
    visual_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True)
class Timing:
    """Wall time of one reply in nanoseconds. `service_ns` is the whole call as the caller felt it; `ttft_ns` ends
    with the first output token; the others are parts of the service. Replies of one `ask_many` that were computed
    together each carry the time of the whole call.
    """

    service_ns: int = 0
    ttft_ns: int = 0
    encode_ns: int = 0
    prefill_ns: int = 0
    decode_ns: int = 0


@dataclass(frozen=True)
class Reply:
    """What a conversation answers."""

    text: str
    #: Log-probabilities of `Request.candidates` in their order, normalised over the candidates; or `None`.
    candidate_logprobs: tuple[float, ...] | None
    #: Log-probability of each generated token under the model, without the one that ends the turn; `None` with
    #: candidates, or where the backend cannot say.
    token_logprobs: tuple[float, ...] | None
    usage: Usage
    timing: Timing
    finish: Literal["stop", "length"]
    #: Ids of the first and last frame that the answer could depend on; `None` when it saw none.
    frames: tuple[int, int] | None
    #: Stream time of the newest frame that it could depend on; `None` when it saw none.
    visible_until_ns: int | None
    #: Digest of the question and of all that was shown before it (`dsb.models.digest`).
    input_hash: str


@dataclass(frozen=True)
class Receipt:
    """Which frames a backend has taken. `processed_through` is the last frame id that is in the model's state."""

    accepted_through: int | None
    processed_through: int | None
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Turn:
    """The decision about one standing instruction at one tick."""

    query: str
    tick_ns: int
    action: Literal["silent", "standby", "speak"]
    #: How strongly the model wants to speak, in [0, 1] where it is a probability; `None` if it cannot say.
    score: float | None
    text: str
    #: The call behind the decision; `None` where the model decides by itself.
    reply: Reply | None
    #: Id of the last frame that the decision could depend on; `None` when it saw none. Silence counts only where
    #: that is the frame at the tick.
    processed_through: int | None


@dataclass
class Counters:
    """What a backend has done for one session so far; summed over its conversations."""

    #: Frames whose embeddings entered the model, each counted once per encoding.
    frames_encoded: int = 0
    #: Extra encodings of a lone newest frame whose temporal patch was not complete.
    frames_provisional: int = 0
    model_calls: int = 0
    encode_ns: int = 0
    model_ns: int = 0
    #: The part of `model_ns` that read frames into a context that keeps them.
    prefill_ns: int = 0
    #: Tokens that went through the language model.
    tokens_computed: int = 0
    #: Temporal patches that left a KV cache.
    patches_evicted: int = 0

    def __add__(self, other: Counters) -> Counters:
        """Both together."""
        return Counters(*map(operator.add, astuple(self), astuple(other)))


class Conversation(Protocol):
    """One system watching one stream through one backend. Closed exactly once."""

    abilities: Abilities

    def observe(self, window: Window) -> Receipt:
        """New frames, in order and without gaps; may encode and prefill."""

    def ask(self, request: Request) -> Reply:
        """Answer one question. Raises `ModelError` and its kin."""

    def ask_many(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer questions of one and the same `t_ns`; each as if asked alone."""

    def watch(self, request: Request) -> None:
        """A standing instruction, named by `request.query`, from `request.t_ns` on. Its answers are yes or no."""

    def turn(self, tick_ns: int, view: StreamView, queries: Sequence[str]) -> list[Turn]:
        """The decisions of these standing instructions at a tick, in the order of `queries`."""

    def close(self) -> None:
        """Free everything that belongs to this conversation."""


#: What identifies a model in a result: family, path, weights hash, dtype, revision, library versions.
Description = Mapping[str, str | int | float | bool]


class Backend(Protocol):
    """A loaded model or a connected provider. Thread-compatible: one session uses it at a time."""

    def frame_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        """The size that the model gives to frames of `source_size`; (width, height) in pixels."""

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether the model can be shown frames of `size` (width, height)."""

    def open(self, spec: StreamSpec) -> Conversation:
        """Start watching a stream."""

    def counters(self, session: str) -> Counters:
        """What was done for `session`; valid until the session's conversations are closed and one call after."""


@dataclass(frozen=True)
class BackendKind:
    """What a registered name of a backend stands for."""

    open: Callable[[ModelConfig, CacheConfig], Backend]
    """Load the model, or connect to the provider. Raises `ModelError`, `MissingDependency`."""
    identify: Callable[[ModelConfig, CacheConfig], Description]
    """What the opened backend will be, without loading weights: it names a run before anybody plays it. Raises as
    `open` does, for whatever can be known beforehand."""
