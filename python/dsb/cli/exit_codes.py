"""What the exit status of `dsb` means."""

from __future__ import annotations

from enum import IntEnum

from dsb import errors


class ExitCode(IntEnum):
    """The exit status of every verb."""

    OK = 0
    """Done; nothing failed and nothing is missing."""
    INCOMPLETE = 1
    """Done, but some queries failed or are missing."""
    USAGE = 2
    """The command line, the configuration, the data or the named run is wrong."""
    FAILED = 3
    """The work could not be done: decoder, model, missing package, disk, or a bug."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


#: Stands under the help of every verb.
EPILOG = (
    "Exit status: 0 done; 1 some queries failed or are missing; 2 wrong command line, "
    "configuration, data or run; 3 the work could not be done (decoder, model, missing package, "
    "disk); 130 interrupted."
)

_USAGE_ERRORS = (
    errors.ConfigError,
    errors.BenchmarkError,
    errors.RegistryError,
    errors.ReportError,
    errors.RunError,
    errors.SourceError,
)


def exit_code_of(error: BaseException) -> ExitCode:
    """The status with which `dsb` ends after this error."""
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return ExitCode.USAGE if isinstance(error, _USAGE_ERRORS) else ExitCode.FAILED
