"""Sessions leave nothing behind, however they end.

`DSB_LEAK_SESSIONS` sets their number: 200 by default, 10,000 in `tests/run --deep`. A twentieth as
many decode with ffmpeg; the others read the same stream from a child process that copies it, so
process, pipe, threads and ring are real and only the decoding is left out.
"""

from __future__ import annotations

import json
import os
import sys

import pytest

import videos
from children import LIMIT_S, run
from dsb.stream.ffmpeg import decode_argv
from dsb.stream.request import DecodeRequest
from paths import SUPPORT

SESSIONS = int(os.environ.get("DSB_LEAK_SESSIONS", "200"))
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """What was held after the warm-up (`before`) and at the end (`after`)."""
    folder = tmp_path_factory.mktemp("leaks")
    video = videos.constant(folder, frames=60).path
    nut = folder / "stream.nut"
    with nut.open("wb") as file:
        run(decode_argv(DecodeRequest(video)), stdout=file, check=True)
    # More than pipe and ring hold, so that a session that is dropped early is in full swing.
    assert nut.stat().st_size > 2 * MEGABYTE
    counts = (str(SESSIONS), str(SESSIONS // 20))
    command = [sys.executable, SUPPORT / "many_sessions.py", video, nut, *counts]
    done = run(command, text=True, timeout=LIMIT_S + 2 * SESSIONS)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, int]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("what", ["descriptors", "threads", "children"])
def test_sessions_leave_nothing_open(memory: dict[str, dict[str, int]], what: str) -> None:
    assert memory["after"][what] == memory["before"][what]


def test_resident_memory_stays_flat(memory: dict[str, dict[str, int]]) -> None:
    growth = memory["after"]["rss_bytes"] / memory["before"]["rss_bytes"] - 1
    assert growth <= 0.02, memory


def test_no_decoder_is_left(memory: dict[str, dict[str, int]]) -> None:
    assert memory["after"]["children"] == 0
