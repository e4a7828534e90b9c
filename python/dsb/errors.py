"""Every exception that the package raises.

An error message names the cause, the place (file, field, time) and the remedy. The Rust core raises
these same classes, so that one ``except`` works on both sides of the binding.
"""

from __future__ import annotations


class DsbError(Exception):
    """Base of every error that `dsb` raises on purpose.

    `str(error)` is the message for people: cause, place, remedy.
    """

    #: Whether the same call may succeed when it is simply made again.
    retryable: bool = False


class ConfigError(DsbError, ValueError):
    """A configuration file or override is wrong: unknown key, wrong type, impossible combination."""


class BenchmarkError(DsbError, ValueError):
    """Benchmark items or their files do not follow `dsb-items/1`."""


class RunError(DsbError, RuntimeError):
    """A run directory cannot be used: locked, of another identity, or damaged."""


class ReportError(DsbError, RuntimeError):
    """A run cannot be analysed or drawn, for example because it holds no finished session."""


class RegistryError(DsbError, LookupError):
    """No backend, router, encoder or benchmark has this name."""


class MissingDependency(DsbError, ImportError):
    """An optional package is needed; the message holds the command that installs it."""


# -- the streaming core -------------------------------------------------------------------------


class SourceError(DsbError, RuntimeError):
    """A video source cannot deliver frames: missing, unreadable, not a video, no video stream."""


class StreamLost(SourceError):
    """A live stream is over before everything was asked: lost for good, or interrupted."""


class DecoderNotFound(DsbError, FileNotFoundError):
    """No usable ffmpeg binary."""


class DecodeError(DsbError, RuntimeError):
    """The decoder failed or reported damage.

    Attributes:
        returncode: exit status of the decoder process, negative for a signal, `None` if unknown.
        stderr: the last lines that the decoder wrote.
        frames: number of frames delivered before the failure.
        after_ns: stream time of the last frame that is known to be good: the first damage comes
            after it. `None` if it comes before the first frame, or if nothing is known.
    """

    def __init__(
        self,
        message: str,
        returncode: int | None = None,
        stderr: str = "",
        frames: int = 0,
        after_ns: int | None = None,
    ) -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stderr = stderr
        self.frames = frames
        self.after_ns = after_ns

    def __reduce__(
        self,
    ) -> tuple[type[DecodeError], tuple[str, int | None, str, int, int | None]]:
        state = str(self), self.returncode, self.stderr, self.frames, self.after_ns
        return type(self), state


class ProtocolError(DecodeError):
    """The decoder wrote something that is not the expected NUT stream."""


class FrameEvicted(DsbError, LookupError):
    """A record of a ring was asked for after it had been overwritten."""


class FrameNotReady(DsbError, LookupError):
    """A record of a ring was asked for before it was published."""


class RingFull(DsbError, RuntimeError):
    """A ring cannot take the record that is pushed or waited for: it holds records that nobody gave back."""


class RingForked(DsbError, RuntimeError):
    """A ring was written by a process that was forked from the one that made it."""


class RingMemoryError(DsbError, MemoryError):
    """The operating system does not give the memory of a ring."""


class LedgerError(DsbError, ValueError):
    """A slot ledger was asked for something impossible: no room, a stale mark, an unknown owner."""


class CausalityError(DsbError, RuntimeError):
    """Something asked for data from later than the stream time that it stands at."""


# -- models and systems -------------------------------------------------------------------------


class ModelError(DsbError, RuntimeError):
    """A model cannot be loaded or failed while answering."""


class ModelNotFound(ModelError):
    """No such checkpoint: neither a folder, nor whole in the model cache, nor on the hub."""


class OutOfMemory(ModelError):
    """The device has no memory left for this call."""


class GrammarUnsupported(ModelError):
    """The model's tokenizer cannot be held to a JSON schema."""


class AnswerTimeout(DsbError, TimeoutError):
    """A call did not return within its limit."""

    retryable = True


class RateLimited(ModelError):
    """A provider asked us to slow down."""

    retryable = True


class Refused(ModelError):
    """The model declined to answer."""


class BudgetExceeded(DsbError, RuntimeError):
    """A cost, token or error budget is used up."""


class RoutingError(DsbError, RuntimeError):
    """A router cannot score a query, for example because S1 says nothing about its confidence."""


class AnswerFormatError(ModelError):
    """A structured answer could not be parsed, also after the one repair attempt."""
