"""Cameras for tests, on this machine: an MJPEG stream over HTTP, and a transport stream over RTSP.

Each serves what it is given and breaks off when it is told to, so that what happens to a camera
that disappears can be seen. The RTSP one speaks as much of RFC 2326 as a player needs: DESCRIBE,
SETUP over the same TCP connection, PLAY; the pictures travel as MPEG-TS in RTP (RFC 2250).
"""

from __future__ import annotations

import contextlib
import io
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import av
import numpy as np
from PIL import Image

TS_PACKET = 188
MP2T = 33  # the RTP payload type of a transport stream


def picture(value: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture whose brightness is its name."""
    return Image.new("RGB", size, (value, value, value))


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def make_clip(
    target: Any, values: list[int], *, rate: int = 25, kind: str | None = None, codec: str = "mpeg4"
) -> None:
    """A clip of plain pictures, written to a path, or to a stream as a container of some kind."""
    with av.open(target, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        for number, value in enumerate(values):
            array = np.full((48, 64, 3), value, np.uint8)
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


class Server:
    """Runs a socket server in a thread; `broken` ends every answer that is being given."""

    def __init__(self, make: Callable[[Server], socketserver.BaseServer]) -> None:
        self.broken = threading.Event()
        self.asked: list[Any] = []  # what each client sent, for tests that look
        self._server = make(self)
        self.port: int = self._server.server_address[1]  # type: ignore[index]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.broken.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """A client that hangs up is part of these tests."""


def mjpeg_server(values: Callable[[], Iterator[int]], *, pause: float = 0.01) -> Server:
    """http://127.0.0.1:port/: pictures of these values; `/file` and `/playlist` are no streams."""

    def make(owner: Server) -> socketserver.BaseServer:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append(dict(self.headers))
                if self.path == "/file":
                    self._answer("video/mp4", b"x" * 100, length=True)
                elif self.path == "/playlist":
                    self._answer("application/x-mpegurl", b"#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1/")
                elif owner.broken.is_set():
                    self.send_error(503)
                else:
                    self._stream()

            def _answer(self, kind: str, body: bytes, *, length: bool = False) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                if length:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for value in values():
                    if owner.broken.is_set():
                        return
                    data = jpeg(picture(value))
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
                    self.wfile.write(head.encode() + b"\r\n\r\n" + data + b"\r\n")
                    time.sleep(pause)

            def log_message(self, *args: object) -> None:
                """Keep the test output quiet."""

        return _Quiet(("127.0.0.1", 0), Handler)

    return Server(make)


def rtsp_server(values: list[int], *, pause: float = 0.02) -> Server:
    """rtsp://127.0.0.1:port/cam: a transport stream of these pictures, then silence."""
    buffer = io.BytesIO()
    make_clip(buffer, values, kind="mpegts", codec="mpeg2video")

    def make(owner: Server) -> socketserver.BaseServer:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while not owner.broken.is_set() and (request := self._request()):
                        self._reply(*request)

            def _request(self) -> tuple[str, dict[str, str]] | None:
                first = self.rfile.readline().decode()
                if not first:
                    return None
                owner.asked.append(first.split()[:2])
                fields = {}
                while line := self.rfile.readline().decode().strip():
                    name, _, value = line.partition(":")
                    fields[name.lower()] = value.strip()
                return first.split()[0], fields

            def _reply(self, method: str, fields: dict[str, str]) -> None:
                extra, body = "", ""
                if method == "OPTIONS":
                    extra = "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                elif method == "DESCRIBE":
                    body = f"v=0\r\ns=test\r\nm=video 0 RTP/AVP {MP2T}\r\na=control:track\r\n"
                    extra = "Content-Type: application/sdp\r\n"
                elif method == "SETUP":
                    extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                head = f"RTSP/1.0 200 OK\r\nCSeq: {fields['cseq']}\r\n{extra}"
                self.wfile.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                if method == "PLAY":
                    self._play()

            def _play(self) -> None:
                data, size = buffer.getvalue(), 7 * TS_PACKET
                for number, start in enumerate(range(0, len(data), size)):
                    if owner.broken.is_set():
                        break
                    rtp = struct.pack("!BBHII", 0x80, MP2T, number & 0xFFFF, number * 90, 1)
                    packet = rtp + data[start : start + size]
                    self.wfile.write(struct.pack("!cBH", b"$", 0, len(packet)) + packet)
                    time.sleep(pause)
                owner.broken.wait()
                self.connection.shutdown(socket.SHUT_RDWR)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        return server

    return Server(make)
