"""Real live sources on the loopback: pushed RTSP, HTTP, a pipe. Frame numbers are painted into the pixels."""

from __future__ import annotations

import contextlib
import http.server
import socket
import struct
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from subprocess import DEVNULL, PIPE

import numpy as np

import videos
from children import Child
from dsb._core import FrameSource, Window
from dsb.config.schema import StreamConfig
from dsb.stream.binary import ffmpeg_build, find_ffmpeg
from dsb.stream.live import open_live
from dsb.stream.request import DecodeRequest

#: Frames per second of the camera.
CAMERA_FPS = 30


def recording(folder: Path, frames: int) -> Path:
    """What a camera sends: frame n after n / `CAMERA_FPS` seconds, a key frame every second."""
    path = folder / "camera.mp4"
    step = videos.TIMESCALE // CAMERA_FPS
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", str(CAMERA_FPS))
    videos.encode(path, [step * n for n in range(frames)], codec=codec)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def sender(video: Path, *output: str, start_s: float = 0, **how: object) -> Child:
    """A camera: plays `video` at its own pace to `output`."""
    ffmpeg = find_ffmpeg()
    # Newer versions would send the first half second at once, and so every frame before it is due.
    old = ffmpeg_build(ffmpeg).version.startswith("5.")
    pace = ("-re",) if old else ("-re", "-readrate_initial_burst", "0.001")
    command = [
        *(str(ffmpeg), "-hide_banner", "-loglevel", "error", "-nostdin", *pace),
        *("-ss", str(start_s), "-i", f"file:{video}", "-c", "copy", *output),
    ]
    return Child(command, stderr=DEVNULL, **how)


TO_PIPE = ("-f", "mpegts", "-flush_packets", "1", "pipe:1")


@contextlib.contextmanager
def camera(video: Path, port: int, start_s: float = 0) -> Iterator[Child]:
    """Pushes `video` over RTSP, again and again until somebody listens; killed at the end."""
    target = ("-f", "rtsp", "-rtsp_transport", "tcp", f"rtsp://127.0.0.1:{port}/camera")
    with sender(video, *target, start_s=start_s) as process:
        yield process


class HttpCamera:
    """`video` at its own pace as an endless chunked response; `cut` resets the connection."""

    def __init__(self, video: Path) -> None:
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                camera.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._video = video
        self._connections: list[socket.socket] = []
        self._senders: list[Child] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.refuse = False
        self.answered = 0
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/camera"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        if self.refuse:
            request.send_error(503)
            return
        request.send_response(200)
        request.send_header("Content-Type", "video/mp2t")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        self._connections.append(request.connection)
        self.answered += 1
        process = sender(self._video, *TO_PIPE, stdout=PIPE)
        self._senders.append(process)
        assert process.stdout is not None
        with process, contextlib.suppress(OSError):
            while data := process.stdout.read1():
                request.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        request.close_connection = True

    def cut(self) -> None:
        """Lose every connection as a cable that is pulled out does."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def close(self) -> None:
        self.cut()
        for process in self._senders:
            process.kill()
        self._server.shutdown()
        # Waits for the threads that answer.
        self._server.server_close()


def settings(source: str, **how: object) -> StreamConfig:
    values = {"source": source, "clock": "realtime", "analyze_s": 0.5, **how}
    return StreamConfig.model_validate(values)


def request(stream: StreamConfig) -> DecodeRequest:
    size = (videos.WIDTH, videos.HEIGHT)
    return DecodeRequest(str(stream.source), fps=Fraction(10), size=size, threads=1)


def open_source(stream: StreamConfig, capacity: int = 128) -> FrameSource:
    return open_live(request(stream), stream, capacity=capacity)


def numbers(window: Window) -> list[int]:
    """The frame numbers that a window shows."""
    with window:
        return [videos.read_number(frame) for frame in np.array(window)]


def frames(source: FrameSource, start: int, stop: int) -> tuple[list[int], list[int]]:
    """Numbers and times of frames by id, once they have come."""
    assert source.frames.wait(stop - 1, 20)
    window = source.frames.window(start, stop)
    pts_ns = list(window.pts_ns)
    return numbers(window), pts_ns
