"""Downloads from a server inside this process: what works, and every guard."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from smolvlm.errors import MediaError
from smolvlm.media.fetch import fetch
from smolvlm.media.images import load_image
from smolvlm.media.limits import ImageLimits

LOCAL = ImageLimits(allow_private=True, seconds=10)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), (1, 2, 3)).save(buffer, "PNG")
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, _, value = self.path[1:].partition("/")
        if kind == "picture":
            self._answer(200, png())
        elif kind == "redirect":
            self._answer(302, b"", location=value)
        elif kind == "loop":
            self._answer(302, b"", location="/loop")
        elif kind == "status":
            self._answer(int(value), b"")
        elif kind == "large":
            self._answer(200, b"\0" * int(value))
        elif kind == "short":
            self._answer(200, b"\0" * 10, length=1000)
        elif kind == "slow":
            self.send_response(200)
            self.end_headers()
            self._drip(b"\0")
        elif kind == "slow-headers":
            self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
            self._drip(b"x")

    def _drip(self, byte: bytes) -> None:
        for _ in range(60):
            self.wfile.write(byte)
            time.sleep(0.05)

    def _answer(
        self, code: int, body: bytes, *, location: str = "", length: int | None = None
    ) -> None:
        self.send_response(code)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the test output quiet."""


class Server(ThreadingHTTPServer):
    def handle_error(self, *args: object) -> None:
        """A client that hangs up early is what these tests are about."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_a_picture_comes_back(server):
    assert fetch(f"{server}/picture", LOCAL) == png()
    image = load_image(f"{server}/picture", limits=LOCAL, allow_url=True)
    assert (image.size, image.getpixel((0, 0))) == ((5, 4), (1, 2, 3))


def test_redirects_are_followed(server):
    assert fetch(f"{server}/redirect//picture", LOCAL) == png()


def test_redirects_may_not_leave_http(server):
    with pytest.raises(MediaError):
        fetch(f"{server}/redirect/file:///etc/passwd", LOCAL)


def test_redirects_end(server):
    with pytest.raises(MediaError, match="302"):
        fetch(f"{server}/loop", LOCAL)


@pytest.mark.parametrize("code", [403, 404, 500])
def test_refusals_of_the_server_are_named(server, code):
    with pytest.raises(MediaError, match=f"answered {code}"):
        fetch(f"{server}/status/{code}", LOCAL)


def test_too_many_bytes(server):
    limits = ImageLimits(allow_private=True, max_bytes=1000)
    assert len(fetch(f"{server}/large/1000", limits)) == 1000
    with pytest.raises(MediaError, match="larger than the limit of 1000 bytes"):
        fetch(f"{server}/large/100000000", limits)


@pytest.mark.parametrize("path", ["slow", "slow-headers"])
def test_a_server_that_sends_drops_is_cut_off(server, path):
    limits = ImageLimits(allow_private=True, seconds=0.3)
    with pytest.raises(MediaError, match=r"longer than the limit of 0\.3 seconds"):
        fetch(f"{server}/{path}", limits)


def test_a_body_that_ends_early(server):
    with pytest.raises(MediaError, match=r"is not a picture|cannot be read"):
        load_image(f"{server}/short", limits=LOCAL, allow_url=True)


def test_private_addresses_are_refused_by_default(server):
    with pytest.raises(MediaError, match=r"127\.0\.0\.1, an address of this machine or network"):
        fetch(f"{server}/picture", ImageLimits())


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1"),
        *("100.64.0.1", "::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "2002:a00:1::"),
    ],
)
def test_names_that_lead_to_private_addresses(monkeypatch, address):
    def resolve(host, port, **_):
        assert host == "pictures.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(MediaError, match=r"pictures\.example is at"):
        fetch("http://pictures.example/a.png", ImageLimits())


def test_the_checked_address_is_the_one_connected_to(monkeypatch):
    """A name that changes its address between check and use leads nowhere new."""
    looked_up, connected = [], []

    def resolve(host, port, **_):
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    def connect(address, timeout=None):
        connected.append(address)
        raise ConnectionRefusedError("refused by the test")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    for scheme, port in (("http", 80), ("https", 443)):
        with pytest.raises(MediaError, match="cannot be reached: refused by the test"):
            fetch(f"{scheme}://pictures.example/a.png", ImageLimits())
        assert connected.pop() == ("93.184.216.34", port)
    assert looked_up == ["pictures.example"] * 2


def test_a_redirect_to_a_private_address_is_refused(server, monkeypatch):
    """The first host counts as public here; the second stays what it is."""
    real = socket.getaddrinfo
    port = int(server.rpartition(":")[2])

    def resolve(host, port_, **options):
        if host == "pictures.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port_))]
        return real(host, port_, **options)

    def reroute(address, timeout=None):
        connection = socket.socket()
        connection.settimeout(timeout)
        connection.connect(("127.0.0.1", port))
        return connection

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", reroute)
    assert fetch("http://pictures.example/picture", ImageLimits()) == png()
    with pytest.raises(MediaError, match=r"127\.0\.0\.1 is at 127\.0\.0\.1"):
        fetch(f"http://pictures.example/redirect/{server}/picture", ImageLimits())


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", "http://a b/", "http://example.org:99999/"]
)
def test_addresses_that_are_none(url):
    with pytest.raises(MediaError):
        fetch(url, ImageLimits())


def test_nobody_listening():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(MediaError, match="cannot be reached"):
        fetch(f"http://127.0.0.1:{port}/a.png", LOCAL)
