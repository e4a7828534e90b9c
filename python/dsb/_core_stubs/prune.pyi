"""Leaving out the packets of a file that no tick needs."""

import os
from typing import final

@final
class PacketIndex:
    """What the sample tables of an MP4 or MOV file and the NAL headers of its packets tell.

    A file that is not understood is no error: it has an `obstacle`, and is decoded in full.
    """
    def __new__(cls, path: str | os.PathLike[str]) -> PacketIndex: ...
    @property
    def obstacle(self) -> str | None:
        """Name of what keeps packets from being left out: `container`, `codec`, `edit-list`, ..."""
    @property
    def reason(self) -> str | None:
        """The obstacle in words."""
    def prune(self, rate: tuple[int, int], *, start_us: int = 0, from_ns: int = 0) -> Pruning:
        """Leave out what no tick `k / rate >= from_ns` needs. The container starts at `start_us` microseconds of
        its own clock."""

@final
class Pruning:
    """A file of which only the packets that some ticks need are decoded, or why it is decoded in full."""
    @property
    def obstacle(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def url(self) -> str | None:
        """What ffmpeg opens, with the protocols concat, subfile and file, if `FrameSource` starts it."""
    @property
    def packets(self) -> int:
        """Packets of the video track, 0 with an obstacle."""
    @property
    def kept(self) -> int:
        """Packets that are decoded."""
    @property
    def bytes(self) -> int: ...
    @property
    def kept_bytes(self) -> int: ...
