"""The HTML page of a highlight run: one file that needs nothing else to be read.

No script, no network; pictures are inside as data URIs, and every text is escaped by the template
(`assets/video/highlights.html`). What is on it was found by `highlights.py`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from PIL import Image

from smolvlm.video.picking import Run, Scored
from smolvlm.video.times import clock, span

THUMBNAIL = (480, 270)  # width, height: sharp in a column of a wide screen, twice that on a phone
QUALITY = 80


@dataclass(frozen=True)
class Thumbnail:
    """A picture of a cut, and when it is shown in the clip, in seconds."""

    picture: Image.Image
    time: float


@dataclass(frozen=True)
class Page:
    """Everything the page says.

    start, end: the part of the clip that was looked at, in seconds. thumbnails, reasons: one a cut.
    copy: the name of the cut clip, which lies in the same folder; without one, lack says why.
    """

    clip: str
    about: str
    start: float
    end: float
    segments: Sequence[Scored]
    cuts: Sequence[Run]
    thumbnails: Sequence[Thumbnail]
    reasons: Sequence[str]
    threshold: float
    criteria: Sequence[str]
    description: str
    settings: Mapping[str, Any]
    copy: str | None = None
    lack: str = ""


def render(page: Page) -> str:
    """The page as HTML."""
    best = max(page.segments, key=lambda segment: segment.score, default=None)
    return _template().render(
        clip=page.clip,
        about=page.about,
        threshold=page.threshold,
        criteria=page.criteria,
        description=page.description,
        settings=list(page.settings.items()),
        copy=page.copy,
        lack=page.lack,
        bars=[_bar(segment, page) for segment in page.segments],
        kept=[_card(*cut) for cut in zip(page.cuts, page.thumbnails, page.reasons, strict=True)],
        kept_length=clock(sum(cut.length for cut in page.cuts)),
        length=clock(page.end - page.start),
        duration=f"{page.end - page.start:.3f}",
        begins=clock(page.start),
        ends=clock(page.end),
        best=best and f"{best.score:.2f} at {span(best.start, best.end)}",
    )


def data_uri(picture: Image.Image) -> str:
    """A picture as a small JPEG inside a `data:` URI."""
    small = picture.copy()
    small.thumbnail(THUMBNAIL)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


@cache
def _template() -> jinja2.Template:
    source = files("smolvlm") / "assets" / "video" / "highlights.html"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.from_string(source.read_text(encoding="utf-8"))


def _bar(segment: Scored, page: Page) -> dict[str, Any]:
    """One bar of the chart, which is as many units wide as the clip has seconds, and 1 high."""
    return {
        "start": f"{segment.start - page.start:.3f}",
        "width": f"{segment.length:.3f}",
        "score": round(segment.score, 4),
        "kept": any(segment in cut.segments for cut in page.cuts),
        "title": f"{span(segment.start, segment.end)}: {segment.score:.2f}",
    }


def _card(cut: Run, thumbnail: Thumbnail, reason: str) -> dict[str, str]:
    return {
        "times": span(cut.start, cut.end),
        "score": f"{cut.score:.2f}",
        "reason": reason,
        "picture": data_uri(thumbnail.picture),
        "shown": clock(thumbnail.time),
    }
