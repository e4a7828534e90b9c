"""From the scores of a polled instruction to alerts."""

from __future__ import annotations

from collections.abc import Sequence


def alerts(
    ticks_s: Sequence[float],
    scores: Sequence[float | None],
    threshold: float = 0.5,
    *,
    rearm_ticks: int = 2,
    once: bool = False,
) -> list[float]:
    """Stream times of the alerts that a system gives.

    A tick with `score >= threshold` is a wish to speak, a lower score is quiet, and `None` is
    unknown: the frame at the tick was not processed, so the tick neither speaks nor counts as
    quiet. An alert is the first wish to speak; the next one needs `rearm_ticks` quiet ticks in a
    row before it. With `once` there is no second alert.

    Raises `ValueError` if the ticks and scores differ in number.
    """
    found: list[float] = []
    armed, quiet = True, 0
    for tick, score in zip(ticks_s, scores, strict=True):
        if score is None:
            continue
        if score < threshold:
            quiet += 1
            armed = armed or (quiet >= rearm_ticks and not once)
            continue
        quiet = 0
        if armed:
            found.append(tick)
            armed = False
    return found
