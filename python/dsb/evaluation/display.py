"""Who instructions a run: the one door through which evaluation tells people anything."""

from __future__ import annotations

from typing import Protocol

from dsb.config.schema import ModelConfig
from dsb.evaluation.progress import Progress
from dsb.models.build import fetch_missing


class Display(Protocol):
    """Shows how a run goes."""

    def progress(self, now: Progress) -> None:
        """The newest state; called after every query and tick, so it must be cheap. May raise to stop the run."""

    def note(self, text: str) -> None:
        """What happens besides: a lock taken over, a run reused, an old folder set aside."""

    def bring(self, model: ModelConfig) -> None:
        """Fetch the checkpoint of `model` from its hub, where everybody can see it."""


class Quiet:
    """Shows nothing, and fetches without a word."""

    def progress(self, now: Progress) -> None:
        """See `Display.progress`."""

    def note(self, text: str) -> None:
        """See `Display.note`."""

    def bring(self, model: ModelConfig) -> None:
        """See `Display.bring`."""
        fetch_missing(model)


#: For whoever does not watch.
QUIET: Display = Quiet()
