"""Live sources: frames keep their own time, an outage is a gap, and a slow reader sees the newest frames."""

from __future__ import annotations

import contextlib
import functools
import http.server
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import live_sources as live
import videos
from dsb._core import WindowSpec
from dsb.errors import SourceError

#: Frames of the camera between two that are kept.
STEP = 3
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """34 s, more than any test plays; a key frame every second."""
    return live.recording(tmp_path_factory.mktemp("live"), frames=1020)


def assert_own_times(numbers: list[int], pts_ns: list[int]) -> None:
    """Frames of one connection stand as far apart in stream time as they were made."""
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    assert steps <= {STEP - 1, STEP, STEP + 1}
    for number, shown_ns in zip(numbers, pts_ns, strict=True):
        made_ns = (number - numbers[0]) * SECOND // live.CAMERA_FPS
        assert shown_ns - pts_ns[0] == pytest.approx(made_ns, abs=2e6)


def test_a_pushed_rtsp_stream_is_seen_frame_by_frame(video: Path) -> None:
    port = live.free_port()
    stream = live.settings(f"rtsp://127.0.0.1:{port}/camera", listen=True, reconnect_s=20)
    with PushedLater(video, port), live.open_source(stream) as source:
        numbers, pts_ns = live.frames(source, 0, 12)
    assert_own_times(numbers, pts_ns)
    assert source.gaps == []


class PushedLater:
    """A camera that tries to push until somebody listens."""

    def __init__(self, video: Path, port: int, start_s: float = 0) -> None:
        self._how = (video, port, start_s)
        self._stop = False
        self._thread = threading.Thread(target=self._push)

    def _push(self) -> None:
        while not self._stop:
            with live.camera(*self._how) as process:
                while process.poll() is None and not self._stop:
                    time.sleep(0.02)

    def __enter__(self) -> PushedLater:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()


def test_a_killed_rtsp_camera_leaves_a_gap_and_no_frozen_time(video: Path) -> None:
    port = live.free_port()
    stream = live.settings(f"rtsp://127.0.0.1:{port}/camera", listen=True, reconnect_s=20)
    first = PushedLater(video, port)
    with first:
        source = live.open_source(stream)
        live.frames(source, 0, 8)
    with source, PushedLater(video, port, start_s=15):
        while not source.gaps:
            time.sleep(0.02)
        newest = source.frames.newest
        numbers, pts_ns = live.frames(source, 0, newest + 8)
        (gap,) = source.gaps
    from_ns, to_ns, attempts, _ = gap
    last = pts_ns.index(from_ns)
    assert pts_ns[last + 1] == to_ns
    assert attempts >= 1
    before, after = numbers[: last + 1], numbers[last + 1 :]
    assert max(before) < min(after), "no frame of before is shown again"
    assert_own_times(before, pts_ns[: last + 1])
    assert_own_times(after, pts_ns[last + 1 :])
    assert to_ns - from_ns > 200_000_000, "the first pause alone is longer"
    assert source.now_ns >= pts_ns[-1]


def test_stream_time_goes_on_during_an_outage(video: Path) -> None:
    camera = live.HttpCamera(video)
    with live.open_source(live.settings(camera.address, reconnect_s=20)) as source:
        live.frames(source, 0, 5)
        camera.refuse = True
        camera.cut()
        while source.outage is None:
            time.sleep(0.01)
        lost_ns, begun = source.now_ns, time.monotonic()
        time.sleep(1.2)
        passed_ns, wall_ns = source.now_ns - lost_ns, (time.monotonic() - begun) * 1e9
        assert passed_ns == pytest.approx(wall_ns, abs=50_000_000)
        spec = WindowSpec(max_frames=8, span_ns=SECOND)
        assert len(source.frames.at(source.now_ns, spec)) == 0, "nobody knows what happened since"
        camera.refuse = False
        while not source.gaps:
            time.sleep(0.02)
        from_ns, to_ns, _, reason = source.gaps[0]
    camera.close()
    assert to_ns - from_ns > 1_000_000_000
    assert reason


def test_an_endless_http_stream_is_a_live_source(video: Path) -> None:
    camera = live.HttpCamera(video)
    with live.open_source(live.settings(camera.address)) as source:
        numbers, pts_ns = live.frames(source, 0, 10)
    camera.close()
    assert_own_times(numbers, pts_ns)


def test_a_connection_that_does_not_come_back_is_given_up(video: Path) -> None:
    camera = live.HttpCamera(video)
    with live.open_source(live.settings(camera.address, reconnect_s=1)) as source:
        live.frames(source, 0, 3)
        camera.close()
        with pytest.raises(SourceError, match=r"attempts did not restore it.*stream\.reconnect_s"):
            source.frames.wait(10**6, 20)
        assert source.outage is not None


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of a folder over HTTP."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_recording_behind_an_address_ends(tmp_path: Path) -> None:
    videos.constant(tmp_path, frames=45)
    with served(tmp_path) as address:
        source = live.open_source(live.settings(f"{address}/constant.mp4"))
        with source:
            assert not source.frames.wait(10**6, 20)
            numbers, _ = live.frames(source, 0, source.frames.newest)
    assert numbers == list(range(0, 45, STEP))
    assert source.gaps == []


def test_a_slow_reader_loses_the_oldest_frames_and_sees_the_newest(video: Path) -> None:
    with live.open_source(live.settings(str(video)), capacity=8) as source:
        ring = source.frames
        assert ring.wait(3 * ring.capacity, 20)
        newest = ring.newest
        shown = live.numbers(ring.at(source.now_ns, WindowSpec(max_frames=4)))
        assert shown == sorted(set(shown))
        assert shown[-1] >= (newest - 1) * STEP
        assert ring.stats().evicted >= 2 * ring.capacity
        assert ring.published_until(source.now_ns) >= newest


def test_delays_are_those_behind_the_fastest_frame(video: Path) -> None:
    with live.open_source(live.settings(str(video))) as source:
        live.frames(source, 0, 6)
        window = source.frames.window(0, 6)
        source.mark_shown(window.pts_ns)
        middle, worst = source.delay_ns(0.5), source.delay_ns(1.0)
        window.release()
    assert middle is not None
    assert worst is not None
    assert 0 <= middle[0] <= worst[0] < 5 * SECOND
    assert middle[1] is not None
    assert worst[1] is not None
    assert 0 <= middle[1] <= worst[1] < 5 * SECOND
