"""How the context of a conversation is prefilled, and what questions find there.

- `PrefillEachTime` (`reuse: none`, `embed`): the whole window, anew for every question. With `kv: strict` what the
  last question read is kept as long as the window begins at the same patch; that changes no answer.
- `PrefillOnce` (`kv: evict`): patches are read as they come, and evicted when they leave the window. The keys and
  values that stay were computed while attending to what has left since: once something has left, this is another,
  fully specified attention pattern.
- `BorrowPrefill` (`kv: view`): another system's context, of which only the own window is visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dsb.models.local.engine.context import Context, Unread
from dsb.models.local.vision.patch import EncodedPatch

if TYPE_CHECKING:
    from dsb._core import Window
    from dsb.stream.view import StreamView


@dataclass(frozen=True)
class ReadyContext:
    """A context that is ready for questions at one time."""

    context: Context
    #: Slots that the questions see; `None` is all.
    visible: Sequence[int] | None
    #: A patch that is not final, or the black one; read together with the questions.
    provisional: EncodedPatch | None
    #: Patches that the questions see, the provisional one included.
    patches: int
    #: Tokens of the visible context that were there before anybody asked.
    cached: int
    #: First and last frame id; `None` without frames.
    frames: tuple[int, int] | None
    #: Stream time of the last frame.
    visible_until_ns: int | None
    #: What the first forward of the questions reads of the context; if that fails, the context must be cleared.
    unread: Unread | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the context that the questions see, without the provisional patch."""
        return self.context.arena.used if self.visible is None else len(self.visible)


class Prefill(Protocol):
    """How the context of a conversation is prefilled."""

    @property
    def kv_bytes(self) -> int:
        """Memory of its keys and values; 0 where they are another system's."""

    @property
    def processed_through(self) -> int | None:
        """The last frame that is encoded, and prefilled where that does not wait for a question."""

    @property
    def reads_pixels(self) -> bool:
        """Whether the frames of a window must still be there when it is asked about."""

    def observe(self, window: Window) -> None:
        """New frames came on screen."""

    def prepare(self, header: tuple[int, ...], view: StreamView) -> ReadyContext:
        """The context of questions at the time of `view` whose prompts begin with `header`."""
