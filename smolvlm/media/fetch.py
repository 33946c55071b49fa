"""A picture's or clip's bytes from an http(s) URL, for callers who were told that they may.

Guards against what a URL in somebody else's message can do: the address that is checked is the
address that is connected to (no second name look-up), every redirect is checked again, and bytes
and seconds are bounded, against a server that sends one byte at a time too; of a stream without an
end, the wait for each byte. Proxies of the environment are not used: behind one, the address could
not be checked. Decoding is left to
`images.py` and `videos.py`.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from smolvlm.errors import MediaError
from smolvlm.media.limits import ImageLimits

CHUNK = 64 * 1024


def fetch(url: str, limits: ImageLimits, *, accept: str = "image/*") -> bytes:
    """The body of `url`; `MediaError` when it may not be reached, fails, is too large or slow."""
    deadline = _Deadline(limits.seconds)
    headers = {"User-Agent": "smolvlm", "Accept": accept}
    try:
        request = urllib.request.Request(url, headers=headers)
        opener = _opener(limits, deadline.watch)
        with opener.open(request, timeout=limits.seconds) as response:
            body = _read(response, url, limits)
    except MediaError:
        raise
    except Exception as error:
        if not deadline.passed:
            raise _explained(url, error) from None
        body = b""
    finally:
        deadline.cancel()
    if deadline.passed:  # a connection that was broken off looks like the end of the body
        raise MediaError(f"{url} took longer than the limit of {limits.seconds:g} seconds")
    return body


class Stream:
    """The answer of `url` while it is still coming, for what has no end; PyAV reads it as a file.

    The same guards as for a download, but for its limits of size and time: `limits.seconds` bounds
    each wait for the next byte. A name and password in the address go to that address alone.
    """

    def __init__(self, url: str, limits: ImageLimits) -> None:
        self._connections: list[socket.socket] = []
        plain = without_login(url)
        try:
            request = urllib.request.Request(plain, headers={"User-Agent": "smolvlm"})
            if login := _login(url):
                request.add_unredirected_header("Authorization", login)
            opener = _opener(limits, self._connections.append)
            self._answer: http.client.HTTPResponse = opener.open(request, timeout=limits.seconds)
        except MediaError:
            raise
        except Exception as error:
            raise _explained(plain, error) from None

    @property
    def length(self) -> int | None:
        """Bytes to come, where the server knows an end."""
        return self._answer.length

    @property
    def media_type(self) -> str:
        """What the server says it is, such as `video/mp2t`."""
        return self._answer.headers.get_content_type()

    def read(self, size: int) -> bytes:
        """At most `size` bytes: what has come, not waited for until it is enough."""
        return self._answer.read1(size)

    def close(self) -> None:
        """Hang up; a `read` of another thread that waits ends."""
        for connection in self._connections:
            _break_off(connection)


def _explained(url: str, error: Exception) -> Exception:
    """The user's view of what urllib raised; anything that is not about the URL stays itself."""
    if isinstance(error, urllib.error.HTTPError):
        return MediaError(f"{url} answered {error.code} {error.reason}; check the address")
    if isinstance(error, urllib.error.URLError):
        return MediaError(f"{url} cannot be reached: {error.reason}; check the address")
    if isinstance(error, OSError | http.client.HTTPException | ValueError):
        return MediaError(f"{url} cannot be read: {error}; check the address")
    return error


def _read(response: Any, url: str, limits: ImageLimits) -> bytes:
    body = bytearray()
    while chunk := response.read1(CHUNK):
        body += chunk
        if len(body) > limits.max_bytes:
            raise MediaError(f"{url} is larger than the limit of {limits.max_bytes} bytes")
    return bytes(body)


class _Deadline:
    """Breaks every connection of a download off once its time is up.

    A socket's own timeout only bounds the wait for the next byte.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._timers: list[threading.Timer] = []

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._end

    def watch(self, connection: socket.socket) -> None:
        timer = threading.Timer(self._end - time.monotonic(), _break_off, [connection])
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()


def _break_off(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed already: nothing is left to break off
        connection.shutdown(socket.SHUT_RDWR)


def _opener(
    limits: ImageLimits, opened: Callable[[socket.socket], None]
) -> urllib.request.OpenerDirector:
    """Only http and https, through connections that check where they lead; `opened` gets each."""

    def dial(
        address: tuple[str, int], timeout: float | None = None, source: Any = None
    ) -> socket.socket:
        return _connect(address[0], address[1], timeout, limits)

    class Watched(http.client.HTTPConnection):
        def connect(self) -> None:
            self._create_connection = dial
            super().connect()
            opened(self.sock)

    class WatchedSecure(Watched, http.client.HTTPSConnection):
        """The same over TLS, which `super().connect()` adds."""

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Watched, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(WatchedSecure, req)

    opener = urllib.request.OpenerDirector()
    for handler in (
        PlainHandler(),
        SecureHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _connect(host: str, port: int, timeout: float | None, limits: ImageLimits) -> socket.socket:
    """Resolve once, check every address, connect to the first that answers."""
    failure: OSError = OSError(f"{host} has no address")
    for address in _addresses(host, port, limits):
        try:
            return socket.create_connection((address, port), timeout=timeout)
        except OSError as error:
            failure = error
    raise failure


def _addresses(host: str, port: int, limits: ImageLimits) -> list[str]:
    """Every address of a host; `MediaError` if one of them may not be connected to."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not limits.allow_private and not _is_public(address):
            raise MediaError(
                f"{host} is at {address}, an address of this machine or network;"
                " URLs may only lead to public ones"
            )
    return addresses


def resolve(host: str, limits: ImageLimits) -> list[str]:
    """The addresses of a host, checked, for a library that connects by itself."""
    try:
        return list(dict.fromkeys(_addresses(host, 0, limits)))
    except OSError as error:
        raise MediaError(f"{host} cannot be found: {error}; check the address") from None


def without_login(url: str) -> str:
    """A URL without the name and password it may hold; for messages too."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise MediaError(f"the address is broken: {error}; wanted http://host/path") from None
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _login(url: str) -> str | None:
    """The header that says who asks, if the URL does (RFC 7617)."""
    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return None
    pair = urllib.parse.unquote(f"{parts.username}:{parts.password or ''}")
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _is_public(address: str) -> bool:
    """Whether an IP address is on the open internet, an IPv4 one inside an IPv6 one included."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast
