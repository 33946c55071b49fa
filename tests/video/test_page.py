"""The page: whole, escaped, in need of nothing outside."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

from PIL import Image

from smolvlm.video.page import Page, Thumbnail, data_uri, render
from smolvlm.video.picking import Run, Scored

EVIL = "<script>alert(1)</script> & \"quotes\" 'more' {{ 7 * 7 }} </style>"
SEGMENTS = [Scored(60.0, 70.0, 0.9), Scored(70.0, 80.0, 0.2), Scored(80.0, 85.0, 0.6)]


class Reader(HTMLParser):
    """Elements, attributes and words of a page; objects to elements that do not nest."""

    EMPTY = ("meta", "img", "line", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def page(**changes: object) -> Page:
    cuts = [Run((SEGMENTS[0],)), Run((SEGMENTS[2],))]
    pictures = [
        Thumbnail(Image.new("RGB", (1920, 1080), colour), 62.0) for colour in ("red", "tan")
    ]
    told = {
        "clip": "a.mp4", "about": "cats", "start": 60.0, "end": 85.0, "segments": SEGMENTS,
        "cuts": cuts, "thumbnails": pictures, "reasons": ["A cat.", "Another."], "threshold": 0.5,
        "criteria": ["a cat runs"], "description": "Cats.", "settings": {"every": "10 s"},
        "copy": "highlights.mp4",
    }  # fmt: skip
    return Page(**(told | changes))  # type: ignore[arg-type]


def test_it_says_what_was_found() -> None:
    reader = Reader(render(page()))
    for words in ("cats", "1:00–1:10", "0.90", "1:20–1:25", "A cat.", "a cat runs", "Cats."):
        assert words in reader.words
    assert "2 cuts, 0:15 of 0:25" in reader.words
    assert reader.tags.count("img") == 2 and reader.tags.count("rect") == 3


def test_everything_is_escaped() -> None:
    plain, evil = (
        Reader(render(page(
            clip=text, about=text, reasons=[text, text], criteria=[text], description=text,
            settings={text: text}, copy=text,
        )))
        for text in ("x", EVIL)
    )  # fmt: skip
    assert evil.tags == plain.tags  # not one element more
    assert [name for name, _ in evil.attributes] == [name for name, _ in plain.attributes]
    assert evil.words.count(EVIL) == plain.words.count("x") - _x_of_ours() > 8


def _x_of_ours() -> int:
    """How often the page writes an x of its own."""
    return Reader(render(page(
        clip="", about="", reasons=["", ""], criteria=[""], description="", settings={"": ""},
        copy="-",
    ))).words.count("x")  # fmt: skip


def test_it_reaches_for_nothing_outside() -> None:
    text = render(page())
    assert "http://" not in text and "https://" not in text and "url(" not in text
    reader = Reader(text)
    assert "script" not in reader.tags and "link" not in reader.tags
    sources = [value for name, value in reader.attributes if name in ("src", "href")]
    assert all(
        value == "highlights.mp4" or value.startswith("data:image/") for value in sources if value
    )
    [policy] = [value for name, value in reader.attributes if value and "default-src" in value]
    assert "default-src 'none'" in policy and "script" not in policy


def test_it_is_made_for_phones_and_for_the_dark() -> None:
    text = render(page())
    assert 'content="width=device-width, initial-scale=1"' in text
    assert "prefers-color-scheme: dark" in text and 'content="light dark"' in text


def test_without_cuts_it_says_how_near_it_came() -> None:
    words = Reader(
        render(page(cuts=[], thumbnails=[], reasons=[], copy=None, lack="no cuts"))
    ).words
    assert "the best was 0.90 at 1:00–1:10" in words
    assert "No clip was cut: no cuts." in words


def test_thumbnails_are_small_and_keep_their_shape() -> None:
    head, _, body = data_uri(Image.new("RGB", (400, 1600))).partition(",")
    assert head == "data:image/jpeg;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(body)))
    assert (picture.format, picture.size) == ("JPEG", (68, 270))


def test_a_name_with_odd_letters_can_still_be_followed() -> None:
    found = re.findall(r'(?:src|href)="([^"]*%[^"]*)"', render(page(copy="ü b#1?.mp4")))
    assert found == ["%C3%BC%20b%231%3F.mp4"] * 2
