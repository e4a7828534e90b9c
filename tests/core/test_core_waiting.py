"""Calls that wait: they release the interpreter, and Ctrl-C ends them."""

from __future__ import annotations

import signal
import sys
import textwrap
import time
from subprocess import PIPE

import pytest

from children import LIMIT_S, Child, run
from dsb.stream.binary import find_ffmpeg

PRELUDE = f"""
import sys
from dsb import _core

def live(*decoder):
    output = "-c:v rawvideo -pix_fmt rgb24 -f nut pipe:1".split()
    inputs = "-nostdin -re -f lavfi -i testsrc=size=64x48:rate=5".split()
    return _core.FrameSource([{str(find_ffmpeg())!r}, *inputs, *output], name="live")

def silent():
    return _core.FrameSource([sys.executable, "-c", "import time; time.sleep(600)"], name="silent")
"""

WAITS = {
    "RealClock.sleep_until": "wait = lambda clock=_core.RealClock(): clock.sleep_until(10**15)",
    "FrameRing.wait": "source = live(); wait = lambda: (source.frames.wait(10**6))",
    "FrameRing.wait_until": "source = live(); wait = lambda: source.frames.wait_until(10**15)",
    "FrameSource": "wait = silent",
    "bootstrap_ratio": (
        "wait = lambda: _core.bootstrap_ratio([1] * 999, [1] * 999, range(999), replicates=10**9)"
    ),
    "bootstrap_curve": (
        "wait = lambda: _core.bootstrap_curve([([1] * 999,) * 2], range(999), replicates=10**9)"
    ),
    "swap_test": (
        "wait = lambda: _core.swap_test([([1] * 999,) * 2], [([1] * 999,) * 2], range(999), "
        "permutations=10**9)"
    ),
    "sign_flip": "wait = lambda: _core.sign_flip([1] * 999, range(999), permutations=10**9)",
}

waits = pytest.mark.parametrize("setup", WAITS.values(), ids=WAITS)


def program(setup: str, body: str) -> list[str]:
    return [sys.executable, "-c", PRELUDE + setup + textwrap.dedent(body)]


@waits
def test_ctrl_c_ends_a_wait(setup: str) -> None:
    body = """
    print("ready", flush=True)
    try:
        wait()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    """
    command = program(setup, body)
    with Child(command, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)  # so that the signal most likely meets the wait itself
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=LIMIT_S)
    assert (output, process.returncode) == ("interrupted\n", 0)


@waits
def test_other_threads_run_during_a_wait(setup: str) -> None:
    # A wait that held the interpreter would never let the main thread come to its end.
    body = """
    import os, threading
    threading.Thread(target=wait, daemon=True).start()
    for _ in range(20):
        threading.Event().wait(0.01)
    print("ran on", flush=True)
    os._exit(0)
    """
    done = run(program(setup, body), text=True)
    assert done.stdout == "ran on\n", done.stderr


def test_a_decoder_dies_with_a_constructor_that_is_interrupted() -> None:
    body = """
    import os, signal, threading
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        wait()
    except KeyboardInterrupt:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("no child is left", flush=True)
    """
    command = program(WAITS["FrameSource"], body)
    done = run(command, text=True)
    assert done.stdout == "no child is left\n", done.stderr


def test_a_forked_process_that_drops_its_copy_leaves_the_decoder_alone() -> None:
    body = """
    import os, time
    child = os.fork()
    if child == 0:
        source.close()
        del source
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    seen = source.frames.newest
    assert source.frames.wait(seen + 2, 30)
    print("still decoding", flush=True)
    """
    command = program("source = live()", body)
    done = run(command, text=True)
    assert done.stdout == "still decoding\n", done.stderr


def test_a_forked_process_cannot_write_into_its_parents_ring() -> None:
    body = """
    import os
    from dsb import errors
    child = os.fork()
    if child == 0:
        try:
            ring.push(b"ours", 1)
        except errors.RingForked:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert (ring.push(b"next", 2), bytes(ring.window(0, 2))) == (1, b"mine" + b"next")
    print("untouched", flush=True)
    """
    setup = "ring = _core.EmbeddingRing(record_bytes=4, capacity=4)\nring.push(b'mine', 0)\n"
    command = program(setup, body)
    done = run(command, text=True)
    assert done.stdout == "untouched\n", done.stderr
