"""Little clips for tests, made on the spot with PyAV; every frame shows its own number.

A frame is black but for columns of white, which spell its number in binary. They survive lossy
codecs, so a test can ask any frame which one it is (`number_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITS = 16
HEIGHT, WIDTH = 48, 8 * BITS


def numbered(number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """The frame of a number: uint8 (height, width, 3)."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    columns = np.repeat(np.array(bits, np.uint8) * 255, width // BITS)  # (width,)
    return np.broadcast_to(columns[None, :, None], (height, len(columns), 3)).copy()


def number_of(picture: Image.Image) -> int:
    """Which frame a picture is."""
    grey = np.asarray(picture.convert("L").resize((BITS, 1), Image.Resampling.BOX))[0]  # (BITS,)
    return int(sum(1 << bit for bit in range(BITS) if grey[bit] > 127))


def write_clip(
    path: Path,
    frames: int | Iterable[NDArray[np.uint8]] = 50,
    *,
    rate: Fraction | int = 25,
    codec: str = "libx264",
    keyframes: int = 12,
    pts: Sequence[int] | None = None,
    rotation: int = 0,
    sound: bool = False,
    container: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """A clip of numbered frames, or of given ones, uint8 (height, width, 3).

    keyframes: one every so many frames. pts: when each frame is shown, in milliseconds. rotation:
    degrees, of the display matrix. sound: with a track of silence. options: of the codec.
    """
    pictures = map(numbered, range(frames)) if isinstance(frames, int) else iter(frames)
    first = next(pictures)
    with av.open(path, "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=rate, options={"g": str(keyframes), **options})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = {"gif": "rgb8", "ffv1": "bgr0", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        if rotation:
            stream.set_display_rotation(rotation)
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        track = out.add_stream("aac", rate=8000, layout="mono") if sound else None
        count = 0
        for count, array in enumerate((first, *pictures), start=1):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[count - 1], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if track is not None:
            _write_silence(out, track, seconds=count / rate)
    return path


def write_sound(path: Path) -> Path:
    """A file with a second of silence and no pictures."""
    with av.open(path, "w") as out:
        _write_silence(out, out.add_stream("aac", rate=8000, layout="mono"), seconds=1)
    return path


def _write_silence(out: Any, track: Any, *, seconds: float) -> None:
    for block in range(max(int(seconds * 8000 / 1024), 1)):
        samples = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, block * 1024
        out.mux(track.encode(frame))
    out.mux(track.encode())
