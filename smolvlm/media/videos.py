"""Anything that holds a clip to a `Video`: files, folders, lists of frames, bytes and URLs.

    with open_video("clip.mp4") as video:
        frames = video.read([0.0, 1.5, 3.0])

What a source is, is known by its content (`video_kinds.py`), not by its name. The kinds of clips
are `video_file.py` (everything FFmpeg reads, through PyAV), `video_webp.py` and `Slides`. Nothing
is fetched unless it is allowed. Which frames are worth looking at is left to `sampling.py`.
"""

from __future__ import annotations

import base64
import binascii
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smolvlm.errors import InputError, MediaError
from smolvlm.media.fetch import fetch
from smolvlm.media.images import SCHEME
from smolvlm.media.limits import DEFAULT_VIDEO_LIMITS, VideoLimits
from smolvlm.media.video_file import VideoFile
from smolvlm.media.video_frames import CLOCK_STEP, Frame, Slides, Video, folder_pictures
from smolvlm.media.video_kinds import is_video, is_webp
from smolvlm.media.video_webp import AnimatedWebP

__all__ = ["CLOCK_STEP", "Frame", "Slides", "Video", "is_video", "open_video"]

# Frames a second of pictures that come without times: the distance of the frames that models of
# this family are shown.
DEFAULT_RATE = 1.0


def open_video(
    source: Any,
    *,
    rate: float | None = None,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    allow_url: bool = False,
) -> Video:
    """A clip, open for reading.

    `source`: the path of a file (mp4, webm, mkv, mov, avi, gif, animated webp, ...) or of a folder
    of pictures, a list of `Frame`s or of whatever `load_image` takes, an RGB array uint8
    (frames, height, width, 3), bytes, a binary stream (read to its end), a `data:` URI, an http(s)
    URL (with `allow_url`), or a `Video`, which is returned.
    rate: frames a second of a folder, list or array without times; 1 unless given.
    `MediaError` for what is missing, broken, no clip, too large or not allowed.
    """
    if isinstance(source, Video):
        return source
    if isinstance(source, np.ndarray) and source.ndim == 4:
        source = list(source)  # (n, height, width, 3) -> n of (height, width, 3)
    if isinstance(source, list | tuple):
        return _open_list(source, rate, limits)
    if isinstance(source, str) and source[:5].lower() == "data:":
        return _open_bytes(_data_uri(source), "the data: URI", limits)
    if isinstance(source, str) and (scheme := SCHEME.match(source)):
        return _open_bytes(_fetched(source, scheme[1], limits, allow_url=allow_url), source, limits)
    if isinstance(source, str | Path):
        return _open_path(Path(source), rate, limits)
    if isinstance(source, bytes | bytearray | memoryview):
        return _open_bytes(bytes(source), "the clip", limits)
    if hasattr(source, "read"):
        return _open_bytes(_stream_bytes(source, limits), _stream_name(source), limits)
    raise MediaError(
        f"a clip cannot be a {type(source).__name__}; wanted a path, folder, data: URI, URL, bytes,"
        " stream, list of frames or array of them (frames, height, width, 3)"
    )


def _open_list(source: Sequence[Any], rate: float | None, limits: VideoLimits) -> Video:
    """Frames that bring their times, or pictures that follow each other at a rate."""
    timed = [isinstance(item, Frame) for item in source]
    if not any(timed):
        return Slides.at_rate(source, rate or DEFAULT_RATE, limits=limits)
    if not all(timed):
        raise InputError("the list of frames mixes pictures with and without times")
    if rate is not None:
        raise InputError("the frames bring their own times; leave out rate")
    return Slides([f.picture for f in source], [f.time for f in source], limits=limits)


def _open_path(path: Path, rate: float | None, limits: VideoLimits) -> Video:
    try:
        if path.is_dir():
            pictures = folder_pictures(path)
            return Slides.at_rate(pictures, rate or DEFAULT_RATE, name=str(path), limits=limits)
        with path.open("rb") as stream:
            head = stream.read(16)
    except FileNotFoundError:
        raise MediaError(f"{path} does not exist; wanted a clip or a folder of pictures") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise MediaError(f"{path} cannot be read: {error}") from None
    if is_webp(head):
        return AnimatedWebP(_checked(path.read_bytes(), str(path), limits), str(path), limits)
    if not head:
        raise MediaError(f"{path} is empty; wanted a clip")
    return VideoFile(path, limits=limits)


def _open_bytes(data: bytes, name: str, limits: VideoLimits) -> Video:
    if not data:
        raise MediaError(f"{name} is empty; wanted a clip")
    data = _checked(data, name, limits)
    if is_webp(data[:16]):
        return AnimatedWebP(data, name, limits)
    return VideoFile(data, name=name, limits=limits)


def _fetched(url: str, scheme: str, limits: VideoLimits, *, allow_url: bool) -> bytes:
    if scheme.lower() not in ("http", "https"):
        raise MediaError(f"{url} is a {scheme} address; wanted http, https, data: or a path")
    if not allow_url:
        raise MediaError(
            f"{url} is a URL and nothing is fetched unasked; allow it (allow_url, --allow-url)"
            " or give a file"
        )
    return fetch(url, limits, accept="video/*, image/*")


def _checked(data: bytes, name: str, limits: VideoLimits) -> bytes:
    if len(data) > limits.max_bytes:
        raise MediaError(f"{name} is larger than the limit of {limits.max_bytes} bytes")
    return data


def _data_uri(uri: str) -> bytes:
    """The bytes of `data:[type][;base64],content` (RFC 2397)."""
    head, comma, body = uri.partition(",")
    try:
        if not comma:
            raise ValueError
        content = urllib.parse.unquote_to_bytes(body)
        if not head.lower().endswith(";base64"):
            return content
        return base64.b64decode(b"".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise MediaError("the data: URI is broken; wanted data:video/mp4;base64,...") from None


def _stream_bytes(stream: Any, limits: VideoLimits) -> bytes:
    data = stream.read(limits.max_bytes + 1)
    if not isinstance(data, bytes):
        raise MediaError(f"{_stream_name(stream)} gives text; open it in binary mode")
    return data


def _stream_name(stream: Any) -> str:
    return f"the stream {getattr(stream, 'name', '')}".rstrip()
