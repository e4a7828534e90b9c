"""Trying a call: failures are recorded with their class and traceback, and repeated where that may
help.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from dsb.errors import BudgetExceeded, CausalityError, RunError
from dsb.evaluation.session.recorder import Recorder, is_retryable
from dsb.runlog.records import Retry

T = TypeVar("T")

#: Seconds before the first repetition; doubled for each further one.
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0

#: What one query must not swallow: the log cannot be written, the budget is used up, or the stream
#: leaks.
_FATAL = (RunError, BudgetExceeded, CausalityError)


def with_retries(
    call: Callable[[], T],
    recorder: Recorder,
    *,
    queries: Sequence[str],
    system: str,
    retries: int,
) -> T | None:
    """The result of `call`, or `None` when it failed for good; then the queries that it was for
    count as failed.
    """
    for attempt in range(retries + 1):
        try:
            return call()
        except _FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - one broken query must not take the session with it
            for query in queries:
                recorder.failure(error, query=query, system=system)
            if not is_retryable(error) or attempt == retries:
                break
        wait_s = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)
        for query in queries:
            recorder.write(Retry, query=query, system=system, attempt=attempt + 1, wait_s=wait_s)
        time.sleep(wait_s)
    recorder.tally.failed.update(queries)
    return None
