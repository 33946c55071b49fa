"""How much a picture or clip may cost before it is refused; every refusal names the limit it met.

Pure data, shared by `images.py` and `videos.py` (what is decoded) and `fetch.py` (what is
downloaded).
"""

from __future__ import annotations

from dataclasses import dataclass

from smolvlm.errors import InputError


@dataclass(frozen=True)
class ImageLimits:
    """Upper bounds for one picture.

    max_pixels: height x width after decoding; 200 million RGB pixels take 600 MB. max_bytes: the
    file itself. seconds: a whole download. allow_private: whether a URL may lead to this machine or
    its own network.
    """

    max_pixels: int = 200_000_000
    max_bytes: int = 256 * 2**20
    seconds: float = 20.0
    allow_private: bool = False

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_bytes", "seconds"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; wanted a number above 0")


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True)
class VideoLimits(ImageLimits):
    """Upper bounds for one clip.

    max_pixels: of one frame. max_bytes, seconds: of a clip that is downloaded, or given as bytes;
    a file is read piece by piece and may be of any size. max_decoded: frames that may be decoded
    for one call of `Video.read`; it is met where a clip has few frames to begin decoding at.
    """

    max_bytes: int = 2**30
    seconds: float = 300.0
    max_decoded: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_decoded < 1:
            raise InputError(f"max_decoded is {self.max_decoded!r}; wanted a number above 0")


DEFAULT_VIDEO_LIMITS = VideoLimits()
