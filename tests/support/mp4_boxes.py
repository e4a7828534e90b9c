"""Changes to the boxes of MP4 files that no muxer can be asked for."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

#: Boxes that hold boxes.
_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf"}

Change = Callable[[bytes], bytes | None]


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of each box."""
    at = 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            header, size = 16, struct.unpack_from(">Q", data, at + 8)[0]
        yield name, data[at + header : at + size]
        at += size


def box(name: bytes, body: bytes) -> bytes:
    """A box."""
    return struct.pack(">I4s", 8 + len(body), name) + body


def changed(path: Path, target: Path, changes: dict[bytes, Change]) -> Path:
    """`path`, whose index comes last, with other boxes inside `moov`.

    A change gets a body and returns the new one, or all of the boxes that replace this one, or
    `None` to leave it out; nothing moves, because the media data come first.
    """
    data = path.read_bytes()
    moov = data.rindex(b"moov") - 4
    size = struct.unpack_from(">I", data, moov)[0]
    assert moov + size == len(data), "the index must come last"
    target.write_bytes(data[:moov] + box(b"moov", _rewritten(data[moov + 8 :], changes)))
    return target


def _rewritten(data: bytes, changes: dict[bytes, Change]) -> bytes:
    out = b""
    for name, body in boxes(data):
        inner = _rewritten(body, changes) if name in _PARENTS else body
        if name not in changes:
            out += box(name, inner)
            continue
        new = changes[name](inner)
        if new is not None:
            out += new if new[4:8] != b"" and _is_box(new) else box(name, new)
    return out


def _is_box(data: bytes) -> bool:
    """Whether these bytes are a whole box and not a body."""
    return len(data) >= 8 and struct.unpack_from(">I", data)[0] == len(data)


def long_offsets(stco: bytes) -> bytes:
    """A `co64` box in place of the body of an `stco` box."""
    offsets = struct.unpack(f">{(len(stco) - 8) // 4}I", stco[8:])
    return box(b"co64", stco[:8] + struct.pack(f">{len(offsets)}Q", *offsets))


def with_long_media(path: Path, target: Path) -> Path:
    """`path` with a 64-bit size of its media data, for which ffmpeg leaves eight bytes of room."""
    data = path.read_bytes()
    mdat = data.index(b"mdat") - 4
    assert data[mdat - 4 : mdat] == b"free", "no room before the media data"
    size = struct.unpack_from(">I", data, mdat)[0]
    header = struct.pack(">I4sQ", 1, b"mdat", size + 8)
    target.write_bytes(data[: mdat - 8] + header + data[mdat + 8 :])
    return target
