"""Whether something is a clip rather than a picture: by its first bytes, never by its name alone.

The signatures are those of the formats' own specifications. Only what `video_file.py` may open is
listed, so that text which FFmpeg would take for a playlist (and follow) is no clip. Nothing but the
first frames of a GIF is decoded here.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import urllib.parse
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from PIL import Image

HEAD_BYTES = 512  # two packets of a transport stream; everything else says sooner what it is
# Names of addresses that are taken for clips before anything is fetched.
SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".ogv", ".ts", ".webm", ".wmv"),
)
# Brands of the ISO container that hold pictures (HEIF, AVIF) or sound only.
_OTHER_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"M4A ", b"M4B ", b"crx ")
# First boxes of QuickTime files from before there were brands.
_OLD_MOV = (b"moov", b"mdat", b"wide")
_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"\x00\x00\x01\xba",  # MPEG program stream
)
_TS_PACKET, _TS_SYNC = 188, 0x47
_WEBP_ANIMATION = 0x02  # a flag of the VP8X chunk
_URL = re.compile(r"https?://", re.IGNORECASE)


def is_video(source: Any) -> bool:
    """Whether a source of a message is a clip by its content.

    Paths, bytes, seekable binary streams and `data:` URIs are looked into; an address is judged by
    its name. An animated GIF or WebP is a clip, one of a single frame a picture. What cannot be
    read is no clip: whoever opens it as a picture says what is wrong.
    """
    if isinstance(source, str) and _URL.match(source):
        path = PurePosixPath(urllib.parse.urlsplit(source).path)
        return path.suffix.lower() in SUFFIXES
    if isinstance(source, str) and source[:5].lower() == "data:":
        return _is_video_uri(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _is_video_stream(io.BytesIO(source))
    if isinstance(source, str | Path):
        try:
            with Path(source).open("rb") as stream:
                return _is_video_stream(stream)
        except (OSError, ValueError):  # missing, a folder, not allowed, an impossible name
            return False
    seekable = getattr(source, "seekable", None)
    return seekable is not None and seekable() and _is_video_stream(source)


def is_webp(head: bytes) -> bool:
    """Whether a file with these first bytes is a WebP, animated or not."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_video_uri(uri: str) -> bool:
    kind, _, body = uri[5:].partition(",")
    if kind[:6].lower() == "video/":
        return True
    if not kind.lower().startswith(("image/gif;base64", "image/webp;base64")):
        return False
    try:
        return is_video(base64.b64decode(urllib.parse.unquote(body)))
    except (binascii.Error, ValueError):
        return False


def _is_video_stream(stream: BinaryIO) -> bool:
    """Whether the bytes from here on are a clip; the stream is left where it was."""
    place = stream.tell()
    try:
        head = stream.read(HEAD_BYTES)
        if not isinstance(head, bytes):
            return False
        if head[:4] == b"GIF8":
            stream.seek(place)
            return _is_animated_gif(stream)
        return has_video_signature(head)
    finally:
        stream.seek(place)


def has_video_signature(head: bytes) -> bool:
    """Whether a file with these first bytes (up to `HEAD_BYTES`) is a clip; GIF is left open."""
    if head[4:8] == b"ftyp":
        return head[8:12] not in _OTHER_BRANDS
    if is_webp(head):
        return head[12:16] == b"VP8X" and bool(head[20:21]) and bool(head[20] & _WEBP_ANIMATION)
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    if head[:4] == b"OggS":
        return b"theora" in head
    transport = len(head) > _TS_PACKET and head[0] == head[_TS_PACKET] == _TS_SYNC
    return transport or head.startswith(_STARTS) or head[4:8] in _OLD_MOV


def _is_animated_gif(stream: BinaryIO) -> bool:
    try:
        with Image.open(stream, formats=["GIF"]) as image:
            return bool(getattr(image, "is_animated", False))
    except (OSError, SyntaxError, ValueError, EOFError):
        return False
