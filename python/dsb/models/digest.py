"""What identifies a question to a conversation: what is asked, and all that was shown before."""

from __future__ import annotations

import json
import struct
from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING

from dsb.errors import ModelError
from dsb.models.backend import Request, StreamSpec

if TYPE_CHECKING:
    from dsb._core import Window

#: Bytes of a running digest and of an input hash.
_SIZE = 16
#: A question may come when up to this many frames less one have been shown after its own last one.
#: In stream order there are none, but models that keep no state can be asked late.
_RECENT = 1024
#: Id and presentation time of a frame.
_FRAME = struct.Struct("<qq")


class InputDigest:
    """The input hashes of one conversation; it hands over every window and every request.

    An answer may depend on all frames up to the last one that it can read, not only on those of
    its window: keys and values of a frame outlive the frames that they attended to. So each frame
    has a running digest, of the running digest of the frame before and its own id, time and pixels;
    the hash of a question holds that of its last frame. Memory does not grow with the stream.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        #: Ids and running digests of the newest frames.
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=_RECENT)

    def observe(self, window: Window) -> None:
        """Frames are shown, in order; those that were shown before do not count again.

        Hashes their pixels, unless the digests of this window were asked for before.
        """
        if self._spec.window is None:
            return
        newest, chain = self._recent[-1] if self._recent else (-1, bytes(_SIZE))
        shown = zip(window.ids, window.pts_ns, window.digests(), strict=True)
        for frame, pts_ns, pixels in shown:
            if frame > newest:
                link = chain + _FRAME.pack(frame, pts_ns) + bytes.fromhex(pixels)
                chain = blake2b(link, digest_size=_SIZE).digest()
                self._recent.append((frame, chain))

    def input_hash(self, request: Request, frames: tuple[int, int] | None) -> str:
        """BLAKE2b (128 bit, hex) over messages, candidates, generation, frame size and stream.

        `frames` are the ids of the first and last frame that the answer can read. Without any the
        stream does not count, but the size does: a local model looks at black of that size then.
        No name counts, neither of the file, the session and the system nor the key of the request.
        Its time counts only where the window has a rate of its own, because there it decides which
        frames between the first and the last are seen.

        Raises:
            ModelError: the last frame was not shown, or too many others have been since.
        """
        generation = request.generation
        content = {
            "messages": [[each.role, each.text] for each in request.messages],
            "candidates": request.candidates,
            "generation": [
                generation.max_new_tokens,
                float(generation.temperature),
                generation.seed,
                generation.stop,
                generation.schema,
            ],
            "size": self._spec.size,
            "stream": None if frames is None else self._stream(request, frames),
        }
        text = json.dumps(content, separators=(",", ":"))
        return blake2b(text.encode(), digest_size=_SIZE).hexdigest()

    def _stream(self, request: Request, frames: tuple[int, int]) -> dict[str, object]:
        rate = None if self._spec.window is None else self._spec.window.rate
        return {
            "fps": str(self._spec.fps),
            "frames": frames,
            "sampled": None if rate is None else [*rate, request.t_ns],
            "shown": self._running(frames[1]).hex(),
        }

    def _running(self, last: int) -> bytes:
        for frame, chain in reversed(self._recent):
            if frame == last:
                return chain
        raise ModelError(
            f"frame {last} is none of the newest {_RECENT} that the conversation of "
            f"{self._spec.system} was shown; hand over every frame before it is asked about, and "
            "ask in stream order"
        )
