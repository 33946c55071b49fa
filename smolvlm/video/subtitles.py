"""Answers as subtitles: SubRip (.srt) and WebVTT (.vtt).

Written here because the libraries for it (pysubs2, srt, webvtt-py) write a cue's text as it stands:
a blank line in an answer would end its cue, `-->` would break the file, `<b>` would vanish. The
tests read the files back with webvtt-py, and with FFmpeg as players do.

WebVTT has escapes (https://www.w3.org/TR/webvtt1/#webvtt-cue-text-span), so every character
survives. SubRip has none: an arrow, and what players take for a tag, become look-alikes. Neither
can hold a blank line, so those go; the JSON lines of the same answers keep the text as it was.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from smolvlm.video.times import stamp

# What FFmpeg and VLC read as markup in SubRip: <i>, </b>, <font ...>, and {\an8} from SSA.
_TAG = re.compile(r"<(/?[A-Za-z][^<>\n]*)>")
_OVERRIDE = re.compile(r"\{(\\[^{}\n]*)\}")


@dataclass(frozen=True)
class Cue:
    """A text shown from `start` to `end`, in seconds."""

    start: float
    end: float
    text: str


def to_srt(cues: Iterable[Cue]) -> str:
    """A SubRip file; cues without text are left out."""
    shown = (cue for cue in cues if _lines(cue.text))
    return "".join(
        f"{number}\n{stamp(cue.start, ',')} --> {stamp(cue.end, ',')}\n{_srt_text(cue.text)}\n\n"
        for number, cue in enumerate(shown, start=1)
    )


def to_vtt(cues: Iterable[Cue]) -> str:
    """A WebVTT file; cues without text are left out."""
    return "WEBVTT\n\n" + "".join(
        f"{stamp(cue.start, '.')} --> {stamp(cue.end, '.')}\n{_vtt_text(cue.text)}\n\n"
        for cue in cues
        if _lines(cue.text)
    )


def _srt_text(text: str) -> str:
    text = _TAG.sub(r"‹\1›", "\n".join(_lines(text)).replace("-->", "→"))  # noqa: RUF001
    return _OVERRIDE.sub(r"(\1)", text)


def _vtt_text(text: str) -> str:
    return html.escape("\n".join(_lines(text)), quote=False)


def _lines(text: str) -> list[str]:
    """The lines that say something; control characters and half characters become blanks."""
    lines = ("".join(map(_writable, line)).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _writable(character: str) -> str:
    return " " if unicodedata.category(character) in ("Cc", "Cs") else character
