"""Leaving out the packets of a video that no tick needs.

The core reads the tables and decides; here stands what it cannot know: at which time of its own
clock the container starts, which is ffmpeg's to say.
"""

from __future__ import annotations

import os
from functools import lru_cache

from dsb._core import PacketIndex, Pruning
from dsb.stream.ffmpeg import is_url
from dsb.stream.probe import describe, state_of
from dsb.stream.request import DecodeRequest
from dsb.stream.window import NS_PER_S

#: An index takes some 100 bytes per packet; a video of an hour has about 100,000.
_INDEXES = 8
#: No stream lasts longer.
_LAST_NS = 2**63 - 1
#: How many bytes of a packet take as long as the fixed part of a picture: fits what `benches/decode.py`
#: measures for 720p and 1080p within a tenth.
_BYTES_PER_PICTURE = 10_000


def packet_index(path: str | os.PathLike[str]) -> PacketIndex:
    """What can be left out of a file; read once per state of the file."""
    return _indexed(os.fspath(path), state_of(path))


def prune(request: DecodeRequest) -> Pruning | None:
    """What the ticks of a request from its `whole_start` on need; a full decode has an obstacle.

    `None` where there is nothing to ask: a source that is no file, or of which every frame is
    wanted.

    Raises:
        SourceError: ffmpeg does not understand the file.
        DecoderNotFound: no ffmpeg.
    """
    if request.fps is None or is_url(request.source):
        return None
    index = packet_index(request.source)
    # Where nothing can be left out it does not matter when the container starts.
    clock_s = 0.0 if index.obstacle else describe(request.source, request.ffmpeg).start_s
    return index.prune(
        request.fps.as_integer_ratio(),
        start_us=round(clock_s * 1_000_000),
        from_ns=min(request.whole_start * NS_PER_S, _LAST_NS),
    )


def cost_share(pruning: Pruning) -> float:
    """The share of a full decode's time that decoding what is kept takes, about.

    A picture costs a fixed part (prediction, filters) and a part for its bytes (entropy coding);
    `_BYTES_PER_PICTURE` weighs them.
    """
    whole = pruning.bytes + _BYTES_PER_PICTURE * pruning.packets
    return (pruning.kept_bytes + _BYTES_PER_PICTURE * pruning.kept) / whole if whole else 1.0


@lru_cache(maxsize=_INDEXES)
def _indexed(path: str, _state: tuple[int, ...]) -> PacketIndex:
    return PacketIndex(path)
