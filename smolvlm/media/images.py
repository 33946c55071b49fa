"""Anything that holds a picture to an RGB `PIL.Image.Image`.

Files, bytes, streams, `data:` URIs and (only when allowed) URLs are decoded, turned upright by
their EXIF orientation and laid on white where they are transparent; a PIL image is not turned, as
in the published processor. What may be read is bounded by `ImageLimits`. Sizes and tiles are left
to `processing/`, downloads to `fetch.py`.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from smolvlm.errors import MediaError
from smolvlm.media.fetch import fetch
from smolvlm.media.limits import DEFAULT_LIMITS, ImageLimits

# Raster formats that are decoded in this process; PIL would start other programs for some of the
# rest.
FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM"),
    *("ICO", "TGA", "MPO", "JPEG2000", "AVIF", "QOI"),
)
# What PIL's decoders raise for a damaged file.
DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, struct.error)
SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+)://")
_PIL_LIMIT = threading.Lock()


def load_image(
    source: Any, *, limits: ImageLimits = DEFAULT_LIMITS, allow_url: bool = False
) -> Image.Image:
    """One picture as RGB.

    `source`: a path, `data:` URI, http(s) URL (with `allow_url`), bytes, binary stream, PIL image,
    or uint8 array (height, width), (height, width, 3) RGB or (height, width, 4) RGBA. The first
    frame of an animation is taken.
    `MediaError` for what is missing, broken, too large or not allowed.
    """
    if isinstance(source, Image.Image):
        _check_pixels(source.size, "the picture", limits)
        return _decoded(source, "the picture", upright=False)
    if isinstance(source, np.ndarray):
        return to_rgb(_from_array(source, limits))
    data, name = _read(source, limits, allow_url=allow_url)
    if not data:
        raise MediaError(f"{name} is empty; wanted a picture")
    return _decode(data, name, limits)


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB of any PIL mode: transparency on white, deep grey scaled to 8 bits, the rest as PIL."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _scale_deep(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _scale_deep(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits to 8.

    Integers within 16 bits map from 0..65535, floats within 0..1 from that; anything else has no
    known range and is stretched from its lowest to its highest value.
    """
    values = np.asarray(image, dtype=np.float64)  # (height, width)
    if not np.isfinite(values).all():
        raise MediaError(
            "the picture holds values that are not numbers; save it as 8-bit or 16-bit"
        )
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I") and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    elif image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = (values - low) * (255.0 / (high - low if high > low else 1.0))
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _read(source: Any, limits: ImageLimits, *, allow_url: bool) -> tuple[bytes, str]:
    """The undecoded bytes, and what to call them in messages."""
    if isinstance(source, bytes | bytearray | memoryview):
        return _check_bytes(bytes(source), "the picture", limits), "the picture"
    if hasattr(source, "read"):
        return _read_stream(source, limits)
    if isinstance(source, Path):
        return _read_file(source, limits), str(source)
    if not isinstance(source, str):
        raise MediaError(
            f"a picture cannot be a {type(source).__name__}; wanted a path, data: URI, URL, bytes,"
            " stream, PIL image or array"
        )
    if source[:5].lower() == "data:":
        return _check_bytes(_data_uri(source), "the data: URI", limits), "the data: URI"
    scheme = SCHEME.match(source)
    if scheme is None:
        return _read_file(Path(source), limits), source
    if scheme[1].lower() not in ("http", "https"):
        raise MediaError(f"{source} is a {scheme[1]} address; wanted http, https, data: or a path")
    if not allow_url:
        raise MediaError(
            f"{source} is a URL and nothing is fetched unasked; allow it (allow_url, --allow-url)"
            " or give a file"
        )
    return fetch(source, limits), source


def _read_file(path: Path, limits: ImageLimits) -> bytes:
    try:
        if path.is_dir():
            raise MediaError(f"{path} is a directory; wanted a picture file")
        with path.open("rb") as stream:
            return _check_bytes(stream.read(limits.max_bytes + 1), str(path), limits)
    except FileNotFoundError:
        raise MediaError(f"{path} does not exist; wanted a picture file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise MediaError(f"{path} cannot be read: {error}") from None


def _read_stream(stream: Any, limits: ImageLimits) -> tuple[bytes, str]:
    name = f"the stream {getattr(stream, 'name', '')}".rstrip()
    data = stream.read(limits.max_bytes + 1)
    if not isinstance(data, bytes):
        raise MediaError(f"{name} gives text; open it in binary mode")
    return _check_bytes(data, name, limits), name


def _check_bytes(data: bytes, name: str, limits: ImageLimits) -> bytes:
    if len(data) > limits.max_bytes:
        raise MediaError(f"{name} is larger than the limit of {limits.max_bytes} bytes")
    return data


def _data_uri(uri: str) -> bytes:
    """The bytes of `data:[type][;base64],content` (RFC 2397)."""
    head, comma, body = uri.partition(",")
    if not comma:
        raise MediaError("the data: URI has no comma; wanted data:image/png;base64,...")
    content = urllib.parse.unquote_to_bytes(body)
    if not head.lower().endswith(";base64"):
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise MediaError(
            "the data: URI has broken base64; wanted data:image/png;base64,..."
        ) from None


def _decode(data: bytes, name: str, limits: ImageLimits) -> Image.Image:
    """Decode, turn upright, convert; pixels are counted in the header, before any is unpacked."""
    Image.init()
    formats = [known for known in FORMATS if known in Image.OPEN]
    try:
        with _own_pixel_limit():
            image = Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        raise MediaError(
            f"{name} is not a picture, or a broken one; wanted PNG, JPEG, WebP, GIF, BMP or TIFF"
        ) from None
    except DECODER_ERRORS as error:
        raise MediaError(f"{name} is a broken picture: {error}") from None
    _check_pixels(image.size, name, limits)
    return _decoded(image, name, upright=True)


def _decoded(image: Image.Image, name: str, *, upright: bool) -> Image.Image:
    try:
        image.load()
        return to_rgb(ImageOps.exif_transpose(image) if upright else image)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(f"{name} unpacks to too many pixels: {error}") from None
    except DECODER_ERRORS as error:
        kind = image.format or "picture"
        raise MediaError(f"{name} is a broken or truncated {kind}: {error}") from None


@contextmanager
def _own_pixel_limit() -> Iterator[None]:
    """Our limit in place of PIL's, which is a global of its own; only while a header is read."""
    with _PIL_LIMIT:
        theirs = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = theirs


def _check_pixels(size: tuple[int, int], name: str, limits: ImageLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise MediaError(
            f"{name} is {width}x{height}, {width * height} pixels; the limit is {limits.max_pixels}"
            " (max_pixels). Give a smaller picture or raise the limit"
        )
    if width < 1 or height < 1:
        raise MediaError(f"{name} is {width}x{height}; wanted at least one pixel")


def _from_array(array: NDArray[Any], limits: ImageLimits) -> Image.Image:
    shape = array.shape
    channels = shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise MediaError(
            f"the array is {array.dtype} {shape}; wanted uint8 (height, width, 3) RGB,"
            " 4 channels with alpha, or (height, width) grey"
        )
    _check_pixels((shape[1], shape[0]), "the array", limits)
    flat = array[..., 0] if array.ndim == 3 and channels == 1 else array  # (height, width) if grey
    return Image.fromarray(np.ascontiguousarray(flat))
