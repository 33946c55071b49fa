"""Which words of a command line are pictures and which is the question.

The rule, in order; a clip is a picture here:

1. The first argument is always a picture.
2. The last one is the question, unless it names a picture: it is `-` or the path of something that
   exists, has a scheme (`https://`, `data:`), starts like a path (`/`, `./`, `../`, `~`), or ends
   like a picture or clip (`.png`, `.jpg`, `.mp4`, ...).
3. Everything between is a picture.

So a misspelt `holiday.jpg` at the end is refused as a missing file and never taken for a question;
a question about a file name is told apart by its question mark.

Pictures are opened here too, before any model is looked for: a command that cannot succeed because
of a broken picture must not begin by fetching a model. What is a clip is told by its content.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

from PIL import Image

from smolvlm.api import DEFAULT_QUESTION
from smolvlm.errors import InputError
from smolvlm.media.images import load_image
from smolvlm.media.limits import DEFAULT_VIDEO_LIMITS
from smolvlm.media.video_kinds import SUFFIXES as CLIP_SUFFIXES
from smolvlm.media.video_kinds import is_video
from smolvlm.media.videos import open_video
from smolvlm.types import VideoPart

QUESTION_FOR_SEVERAL = "Describe the images."
QUESTION_FOR_CLIP = "Describe the video."
STDIN = "-"

PICTURE_SUFFIXES = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".ico", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".svg", ".tga", ".tif",
    ".tiff", ".webp", *CLIP_SUFFIXES,
)  # fmt: skip
_PATH_START = ("/", "./", "../", "~")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://|data:", re.IGNORECASE)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], str]:
    """The pictures and the question of `smolvlm ask`; a question of our own when there is none."""
    first, *rest = arguments
    if not names_picture(first):
        raise InputError(
            f"{first!r} is no file and does not look like a picture; "
            "wanted the picture first: smolvlm ask PICTURE... [QUESTION]"
        )
    question = rest.pop() if rest and not names_picture(rest[-1]) else ""
    pictures = [first, *rest]
    return pictures, question if question.strip() else _default_question(pictures)


def _default_question(names: Sequence[str]) -> str:
    if len(names) > 1:
        return QUESTION_FOR_SEVERAL
    return QUESTION_FOR_CLIP if is_video(names[0]) else DEFAULT_QUESTION


def names_picture(argument: str) -> bool:
    """Whether an argument names a picture rather than being a question (rule 2 above)."""
    if argument == STDIN or argument.startswith(_PATH_START) or _SCHEME.match(argument):
        return True
    return PurePath(argument).suffix.lower() in PICTURE_SUFFIXES or _exists(argument)


def open_pictures(names: Sequence[str], *, allow_url: bool) -> list[Image.Image | VideoPart]:
    """The pictures, decoded, and the clips, found to be readable; `-` is standard input.

    `MediaError` for one that cannot be used.
    """
    if names.count(STDIN) > 1:
        raise InputError("standard input (-) can be read once; give it as one picture only")
    if STDIN in names and sys.stdin.isatty():
        raise InputError("- reads a picture from standard input; pipe one in, as in `< cat.png`")
    return [_open(name, allow_url=allow_url) for name in names]


def _open(name: str, *, allow_url: bool) -> Image.Image | VideoPart:
    source = sys.stdin.buffer.read(DEFAULT_VIDEO_LIMITS.max_bytes + 1) if name == STDIN else name
    if not is_video(source):
        return load_image(source, allow_url=allow_url)
    video = open_video(source, allow_url=allow_url)
    if not _exists(name):
        return VideoPart(video)  # read or fetched already, once is enough
    video.close()
    return VideoPart(source)


def _exists(name: str) -> bool:
    try:
        return bool(name) and Path(name).exists()  # Path("") would be the working directory
    except (OSError, ValueError):  # longer than any file name, or with a null character
        return False
