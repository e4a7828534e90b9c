"""What a run cost and what it answered, read from its log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsb.analysis.statistics import Estimate, quantile
from dsb.runlog.log import read_log
from dsb.runlog.records import Answered, Call, Record, SessionEnd, Turns

#: Two log-probabilities that differ by less are the same number computed in another order (float32).
SAME_LOGPROB = 1e-4


@dataclass(frozen=True)
class Said:
    """What one system said to one question, or decided at the ticks of one instruction."""

    text: str
    #: Of the candidates, or of the ticks; empty where the system generates.
    numbers: tuple[float, ...] = ()


@dataclass
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
    #: System -> time to the first token of each of its calls, and the session of each.
    ttft_ns: dict[str, list[int]] = field(default_factory=dict)
    asked_in: dict[str, list[str]] = field(default_factory=dict)
    #: (query, system) -> what it said.
    said: dict[tuple[str, str], Said] = field(default_factory=dict)

    @property
    def ingest_fps(self) -> float | None:
        """Frames per second of wall time that are encoded and read; `None` where nothing reads ahead."""
        spent = self.encode_ns + self.prefill_ns
        return self.frames_encoded * 1e9 / spent if self.prefill_ns else None

    def ttft(self, system: str, share: float, seed: int = 0) -> Estimate | None:
        """A quantile of the time to the first token in nanoseconds, its interval clustered by session."""
        values = [float(value) for value in self.ttft_ns.get(system, [])]
        return quantile(values, self.asked_in.get(system, []), share, seed)


def measure(name: str, run_dir: Path) -> Measured:
    """Read the log of a complete run."""
    found = Measured(name, run_dir)
    ttft: dict[str, list[int]] = defaultdict(list)
    asked_in: dict[str, list[str]] = defaultdict(list)
    numbers: dict[tuple[str, str], tuple[float, ...]] = {}
    for record in read_log(run_dir):
        match record:
            case Call():
                ttft[record.system].append(record.ttft_ns)
                asked_in[record.system].append(record.session)
                if record.purpose == "answer":
                    numbers[record.query, record.system] = tuple(record.candidate_logprobs or ())
            case Answered():
                key = record.query, record.system
                found.said[key] = Said(record.text, numbers.get(key, ()))
            case _:
                _add(found, record)
    found.ttft_ns, found.asked_in = dict(ttft), dict(asked_in)
    return found


def _add(found: Measured, record: Record) -> None:
    match record:
        case Turns():
            key = record.query, record.system
            before = found.said.get(key, Said(""))
            found.said[key] = Said(
                " ".join([*before.text.split(), *record.actions]),
                (*before.numbers, *(score for score in record.scores if score is not None)),
            )
        case SessionEnd():
            for name in (
                "wall_ns", "encode_ns", "model_ns", "prefill_ns", "tokens_computed", "frames_encoded",
                "frames_provisional", "patches_evicted", "model_calls",
            ):  # fmt: skip
                setattr(found, name, getattr(found, name) + getattr(record, name))
            found.longest_session = max(found.longest_session, record.frames_decoded)
        case _:
            pass


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
    return _agreement(reference.said, other.said)


def _agreement(
    reference: Mapping[tuple[str, str], Said], other: Mapping[tuple[str, str], Said]
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
