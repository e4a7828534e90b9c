"""What a run cost and what it answered, read from its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsb.analysis.statistics import Estimate, quantile
from dsb.runlog.run import Run
from dsb.runlog.run_data import CallTotals, RunData

#: Two log-probabilities that differ by less are the same number computed in another order (float32).
SAME_LOGPROB = 1e-4

#: What the sessions of a run count and `measure` adds up.
_SUMMED = (
    *("wall_ns", "encode_ns", "model_ns", "prefill_ns", "tokens_computed"),
    *("frames_encoded", "frames_provisional", "patches_evicted", "model_calls"),
)


@dataclass(frozen=True)
class Response:
    """What one system answered to one question, or decided at the ticks of one instruction."""

    text: str
    #: Log-probabilities of the candidates, or scores of the ticks; empty where the system generates.
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Measured:
    """One variant. Times are wall time in nanoseconds, summed over sessions."""

    name: str
    run_dir: Path
    wall_ns: int = 0
    #: Inside the vision towers.
    encode_ns: int = 0
    #: Inside the language models; `prefill_ns` is the part that read frames into contexts that
    #: keep them.
    model_ns: int = 0
    prefill_ns: int = 0
    tokens_computed: int = 0
    frames_encoded: int = 0
    frames_provisional: int = 0
    patches_evicted: int = 0
    model_calls: int = 0
    #: Frames of the longest session.
    longest_session: int = 0
    #: System -> session -> time to the first token of each of its calls.
    ttft_ns: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    #: By (item, system).
    responses: Mapping[tuple[str, str], Response] = field(default_factory=dict)

    @property
    def ingest_fps(self) -> float | None:
        """Frames per second of wall time that are encoded and read; `None` where nothing reads ahead."""
        spent = self.encode_ns + self.prefill_ns
        return self.frames_encoded * 1e9 / spent if self.prefill_ns else None

    def ttft(self, system: str, share: float, seed: int = 0) -> Estimate | None:
        """A quantile of the time to the first token in nanoseconds, its interval clustered by session."""
        # By name: the order of the log depends on what was repeated after a crash, and the
        # interval must not.
        calls = sorted(self.ttft_ns.get(system, {}).items())
        values = [float(ttft_ns) for _, of_session in calls for ttft_ns in of_session]
        sessions = [session for session, of_session in calls for _ in of_session]
        return quantile(values, sessions, share, seed)


def measure(name: str, run: Run) -> Measured:
    """What a complete run cost and what it answered."""
    ends = run.data.ends.values()
    return Measured(
        name,
        run.path,
        longest_session=max((end.frames_decoded for end in ends), default=0),
        ttft_ns=run.data.ttft_ns,
        responses=_responses(run.data),
        **{count: sum(getattr(end, count) for end in ends) for count in _SUMMED},
    )


def _responses(data: RunData) -> dict[tuple[str, str], Response]:
    found = {}
    for key, answer in data.answers.items():
        numbers = data.calls.get(key, CallTotals()).candidate_logprobs
        found[key] = Response(answer.text, numbers)
    for key, ticks in data.ticks.items():
        scores = tuple(score for score in ticks.scores if score is not None)
        found[key] = Response(" ".join(ticks.actions), scores)
    return found


@dataclass(frozen=True)
class Agreement:
    """How far the answers of a variant are from those of the first one."""

    compared: int
    #: (query, system) of those that say something else.
    different: tuple[tuple[str, str], ...]
    #: Largest difference of two log-probabilities, or of two scores of a tick.
    largest: float

    @property
    def identical(self) -> bool:
        """Every answer is the same, and the numbers are equal up to the order of additions."""
        return not self.different and self.largest < SAME_LOGPROB


def agreement(reference: Measured, other: Measured) -> Agreement:
    """Compare every answer. One that only one of them has is different."""
    return _agreement(reference.responses, other.responses)


def _agreement(
    reference: Mapping[tuple[str, str], Response], other: Mapping[tuple[str, str], Response]
) -> Agreement:
    keys = [*reference, *(key for key in other if key not in reference)]
    different, largest = [], 0.0
    for key in keys:
        ours, theirs = reference.get(key), other.get(key)
        if ours is None or theirs is None or ours.text != theirs.text:
            different.append(key)
        if ours is not None and theirs is not None:
            largest = max(largest, _largest(ours.numbers, theirs.numbers))
    return Agreement(len(keys), tuple(different), largest)


def _largest(ours: Sequence[float], theirs: Sequence[float]) -> float:
    if len(ours) != len(theirs):
        return float("inf")
    return max((abs(a - b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
