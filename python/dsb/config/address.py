"""Addresses of sources: what kind they are, and the password in them that belongs into no log."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(?P<before>^[a-z][a-z0-9+.-]*://[^/@:]*:)[^/]*(?=@)", re.IGNORECASE)

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

#: Names standard input.
STDIN = "-"


def is_url(address: str) -> bool:
    """Whether it is a network address."""
    return _URL.match(address) is not None


def is_camera(address: str) -> bool:
    """Whether it is a capture device: `/dev/video0`, `/dev/v4l/by-id/...`."""
    return address.startswith("/dev/v")


def is_live(address: str) -> bool:
    """Whether it comes only once; everything else is a file."""
    return address == STDIN or is_url(address) or is_camera(address)


def without_password(address: str) -> str:
    """`rtsp://user:***@camera/1` for `rtsp://user:secret@camera/1`; anything else as it is."""
    return _PASSWORD.sub(r"\g<before>***", address)
