"""Prefilling when a question comes: `reuse: none` and `embed`, and `kv: strict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsb.models.backend import Counters
from dsb.models.local.engine.context import Context
from dsb.models.local.engine.prefill import ReadyContext
from dsb.models.local.vision.patch import EncodedPatch
from dsb.models.local.vision.window import PatchSource

if TYPE_CHECKING:
    from dsb._core import Window, WindowSpec
    from dsb.stream.view import StreamView


class PrefillEachTime:
    """Every question reads its window; with `keep`, a window that only grew is read on."""

    def __init__(
        self,
        context: Context,
        source: PatchSource | None,
        spec: WindowSpec | None,
        black: EncodedPatch,
        counters: Counters,
        *,
        keep: bool,
    ) -> None:
        """`source` and `spec` are `None` for a system without a window; `black` is seen where no frame is."""
        self._context = context
        self._source = source
        self._spec = spec
        self._black = black
        self._counters = counters
        self._keep = keep

    @property
    def kv_bytes(self) -> int:
        """Memory of its arena."""
        return self._context.arena.nbytes

    @property
    def processed_through(self) -> int | None:
        """The last frame of the last encoded patch."""
        return None if self._source is None else self._source.processed_through

    @property
    def reads_pixels(self) -> bool:
        """Only where every question encodes again."""
        return self._source is not None and self._source.reads_pixels

    def observe(self, window: Window) -> None:
        """Encode; reading waits for a question, because a window that slides is read anew anyway."""
        if self._source is not None:
            self._source.observe(window)

    def prepare(self, header: tuple[int, ...], view: StreamView) -> ReadyContext:
        """Read what the window holds."""
        window = None
        if self._source is not None and self._spec is not None:
            window = self._source.fetch(self._spec, view)
        patches = [] if window is None else window.patches
        context = self._context
        have = context.patches
        numbers = [patch.number for patch in patches]
        if not self._keep or context.header != header or have != numbers[: len(have)]:
            context.clear()
            have = []
        cached = context.arena.used
        unread, computed = context.take(header, patches[len(have) :])
        self._counters.tokens_computed += computed
        lone = self._black if window is None else window.lone
        return ReadyContext(
            context,
            None,
            lone,
            len(patches) + (lone is not None),
            cached,
            None if window is None else window.frames,
            None if window is None else window.visible_until_ns,
            unread,
        )
