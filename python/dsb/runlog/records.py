"""The records of a run log: one JSON object per line, the truth from which everything else is
rebuilt.

Every record names its session, its place in it (`seq`, counted per attempt from 0), the stream time
it belongs to and the wall time since the session began. Records are only ever appended. A session
is done when its `session_end` is on disk; a session that was started again (a later `session_start`
with a higher `attempt`) replaces what an earlier attempt wrote.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

LOG_VERSION = 1

#: An array of ticks in one record is never longer.
MAX_TICKS_PER_RECORD = 64


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    v: Literal[1] = 1
    session: str
    seq: int
    #: Stream time in nanoseconds.
    t_stream_ns: int
    #: Wall time in nanoseconds since the session began.
    t_wall_ns: int


class SessionStart(_Record):
    """A session begins (again)."""

    kind: Literal["session_start"] = "session_start"
    attempt: int
    video: str
    #: Ids of all items that the session will ask.
    items: list[str]
    #: Sampling rate in frames per second, as "numerator/denominator".
    fps: str
    width: int
    height: int
    #: Per system: the backend's abilities, window and prompt settings.
    systems: dict[str, dict[str, object]]


class Received(BaseModel):
    """What one system did with the frames that it was handed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Ids of the last frame that it has taken, and of the last one that is in the model's state.
    accepted_through: int | None
    processed_through: int | None
    dropped: list[int] = Field(default_factory=list)


class Frames(_Record):
    """Frames that came on screen and went to the systems: ids `[start, stop)`, with PTS and content
    hash each.
    """

    kind: Literal["frames"] = "frames"
    start: int
    stop: int
    pts_ns: list[int]
    digests: list[str]
    #: System -> its receipt.
    receipts: dict[str, Received] = Field(default_factory=dict)


class Call(_Record):
    """One call of a model."""

    kind: Literal["call"] = "call"
    query: str
    system: str
    #: `tick`: a tick at which the system spoke; `observe`: a note for long-term memory.
    purpose: Literal["answer", "repair", "tick", "observe"]
    input_hash: str
    #: Ids of the first and last frame that the call could depend on; `None` without frames.
    frames: tuple[int, int] | None
    visible_until_ns: int | None
    service_ns: int
    ttft_ns: int
    encode_ns: int
    prefill_ns: int
    decode_ns: int
    input_tokens: int
    visual_tokens: int
    cached_tokens: int
    output_tokens: int
    #: US dollars; `None` for a local model.
    cost: float | None = None
    finish: str
    text: str
    candidates: list[str] = Field(default_factory=list)
    candidate_logprobs: list[float] | None = None
    token_logprobs: list[float] | None = None


class Turns(_Record):
    """Consecutive ticks of one standing instruction, silent ones too; `t_stream_ns` is that of the
    last one.
    """

    kind: Literal["turn"] = "turn"
    query: str
    system: str
    ticks_ns: list[int]
    states: list[Literal["processed", "unknown"]]
    actions: list[Literal["silent", "standby", "speak"]]
    scores: list[float | None]
    service_ns: list[int]
    visual_tokens: list[int]
    input_tokens: list[int]


class S1Said(BaseModel):
    """What S1's answer tells routers, see `dsb.routing.features.S1Signals`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    confidence: float | None
    margin: float | None
    entropy: float | None
    need_s2: bool
    text: str


class Features(_Record):
    """What routers could see of one query, or of consecutive ticks of an instruction; all of it, so
    that any router can score it again.
    """

    kind: Literal["features"] = "features"
    query: str
    question: str
    options: list[str]
    standing: bool
    exchanges_before: int
    #: Stream time in nanoseconds and what S1 said, one per decision; `None` where it said nothing.
    asked_ns: list[int]
    s1: list[S1Said | None]


class Route(_Record):
    """What one router decided for one query, or for consecutive ticks of an instruction."""

    kind: Literal["route"] = "route"
    query: str
    router: str
    stage: Literal["before_s1", "after_s1"]
    #: Empty for a question; otherwise the ticks that the other arrays belong to.
    ticks_ns: list[int] = Field(default_factory=list)
    scores: list[float]
    actions: list[Literal["s1", "s2"]]
    threshold: float
    propensity: float = 1.0
    #: Of the `features` that this router's stage allowed it to see.
    features_hash: str
    #: Queries that waited at S2 under this router, and seconds until it has answered them, per decision.
    s2_waiting: list[int] = Field(default_factory=list)
    s2_backlog_s: list[float] = Field(default_factory=list)
    #: The router failed and this is the configured fallback.
    fallback: bool = False
    reason: str = ""
    service_ns: int


class RetrievalMade(_Record):
    """What memory returned for one query of one system."""

    kind: Literal["retrieval"] = "retrieval"
    query: str
    system: str
    record_ids: list[str]
    scores: list[float]
    visible: int
    service_ns: int


class MemoryWrite(_Record):
    """A record that long-term memory took."""

    kind: Literal["memory_write"] = "memory_write"
    record_id: str
    record_kind: str
    text: str
    t_start_ns: int
    t_end_ns: int
    t_visible_ns: int


class Answered(_Record):
    """The answer of one system to one question."""

    kind: Literal["answer"] = "answer"
    query: str
    system: str
    #: What the model wrote, or its likeliest candidate.
    text: str
    #: Probability that the system gives to its answer, in [0, 1]; `None` if unknown.
    confidence: float | None
    margin: float | None = None
    entropy: float | None = None
    need_s2: bool = False
    #: Total wall time of all calls and retrievals behind the answer.
    service_ns: int
    #: Calls that the answer took (2 after a repair).
    calls: int = 1


class Gap(_Record):
    """A span of a live stream that nobody saw, because the connection was lost.

    Stream time went on meanwhile; no frame stands for it.
    """

    kind: Literal["gap"] = "gap"
    #: Stream time of the last frame before it.
    from_ns: int
    #: Stream time of the first frame after it; `None` if the session was over before one came.
    to_ns: int | None
    #: Attempts that it took to connect again.
    attempts: int
    reason: str


class Failure(_Record):
    """Something failed. `query` is `None` when the whole session failed."""

    kind: Literal["error"] = "error"
    query: str | None
    system: str | None
    #: Class of `dsb.errors`.
    type: str
    message: str
    traceback: str
    retryable: bool


class Retry(_Record):
    """The query is tried again after a failure."""

    kind: Literal["retry"] = "retry"
    query: str
    system: str
    attempt: int
    wait_s: float


class PacketFigures(BaseModel):
    """How much of a file was decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Packets of the video track and those of them that were decoded; 0 where all were, uncounted.
    packets: int
    kept: int
    #: Why all of them were: `edit-list`, `codec`, ... (`dsb doctor --file` explains), or `damage`.
    obstacle: str | None


class LiveFigures(BaseModel):
    """How a live stream arrived.

    Delays are counted from the moment at which a frame would have come had it been as fast as the
    fastest one of the stream.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Frames that came, and those of them that were overwritten or thrown away before any system
    #: took them.
    frames_come: int
    frames_dropped: int
    gaps: int
    #: Stream time in gaps.
    gap_ns: int
    #: Delay from capture to the ring.
    ring_p50_ns: int
    ring_p95_ns: int
    #: Delay from capture to the first window that showed the frame; `None` if no frame was shown.
    window_p50_ns: int | None
    window_p95_ns: int | None


class SessionEnd(_Record):
    """The session is complete; with what it cost."""

    kind: Literal["session_end"] = "session_end"
    queries_done: int
    queries_failed: int
    frames_decoded: int
    frames_encoded: int
    frames_provisional: int
    model_calls: int
    decode_errors: int
    #: Wall and CPU time of the decoder process(es).
    decode_wall_ns: int
    decode_cpu_ns: int
    #: Wall time inside the vision towers.
    encode_ns: int = 0
    #: Wall time inside the language models; encoding frames is not part of it.
    model_ns: int
    #: The part of it that read frames into contexts that keep them.
    prefill_ns: int = 0
    #: Tokens that went through the language models.
    tokens_computed: int = 0
    #: Temporal patches that left a KV cache.
    patches_evicted: int = 0
    #: Wall time of the whole session.
    wall_ns: int
    #: Stream seconds played.
    played_ns: int
    #: Only where packets could have been left out: of files, unless `video.prune` is off.
    packets: PacketFigures | None = None
    #: Only of live streams.
    live: LiveFigures | None = None


Record = Annotated[
    SessionStart
    | Frames
    | Call
    | Turns
    | Features
    | Route
    | RetrievalMade
    | MemoryWrite
    | Answered
    | Gap
    | Failure
    | Retry
    | SessionEnd,
    Field(discriminator="kind"),
]

RECORD: TypeAdapter[Record] = TypeAdapter(Record)
