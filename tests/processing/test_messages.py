"""The three forms of a conversation, and every way to get them wrong."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smolvlm.errors import InputError, MediaError
from smolvlm.processing.messages import load_pictures, parse_messages
from smolvlm.types import ImagePart, Message, TextPart

PICTURE = Image.new("RGB", (3, 2), (1, 2, 3))


def user(*parts) -> list[dict]:
    return [{"role": "user", "content": list(parts)}]


def only_source(*parts):
    (message,) = parse_messages(user(*parts))
    (part,) = message.parts
    assert isinstance(part, ImagePart)
    return part.source


def test_our_own_messages_pass_through():
    messages = (Message("user", (ImagePart("cat.png"), TextPart("What?"))),)
    assert parse_messages(messages) == messages
    assert parse_messages(list(messages)) == messages


def test_hugging_face_form():
    raw = [
        {"role": "system", "content": "Be brief."},
        *user({"type": "image", "url": "cat.png"}, {"type": "text", "text": "What?"}),
        {"role": "assistant", "content": [{"type": "text", "text": " A cat."}]},
    ]
    assert parse_messages(raw) == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (ImagePart("cat.png"), TextPart("What?"))),
        Message("assistant", (TextPart(" A cat."),)),
    )


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ({"type": "image", "image": PICTURE}, PICTURE),
        ({"type": "image", "image": "a.png"}, "a.png"),
        ({"type": "image", "image": b"raw"}, b"raw"),
        ({"type": "image", "path": "a.png"}, Path("a.png")),
        ({"type": "image", "url": "https://example.org/a.png"}, "https://example.org/a.png"),
        ({"type": "image", "base64": base64.b64encode(b"raw").decode()}, b"raw"),
        ({"type": "image", "base64": "data:image/png;base64,AA=="}, "data:image/png;base64,AA=="),
        ({"type": "image_url", "image_url": {"url": "u", "detail": "low"}}, "u"),
        ({"type": "image_url", "image_url": "u"}, "u"),
        ({"type": "input_image", "image_url": "u"}, "u"),
        (ImagePart("a.png"), "a.png"),
    ],
)
def test_pictures_of_every_form(part, source):
    assert only_source(part) == source


def test_an_array_is_a_picture():
    array = np.zeros((2, 3, 3), np.uint8)
    assert only_source({"type": "image", "image": array}) is array


@pytest.mark.parametrize(
    "part",
    ["x", {"type": "text", "text": "x"}, {"type": "input_text", "text": "x"}, TextPart("x")],
)
def test_texts_of_every_form(part):
    assert parse_messages(user(part)) == (Message("user", (TextPart("x"),)),)


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        ([], "conversation is empty"),
        (None, "got nothing"),
        ("What?", "got a str"),
        ({"role": "user"}, "got a dict"),
        (["hello"], "message 1 is a str"),
        ([{"content": "x"}], r"role None; known roles: system, user, assistant"),
        ([{"role": "tool", "content": "x"}], "role 'tool'; known roles"),
        ([{"role": ["user"], "content": "x"}], "known roles"),
        ([{"role": "user"}], "nothing as content"),
        ([{"role": "user", "content": 3}], "a int as content"),
        ([{"role": "user", "content": []}], "message 1 is empty"),
        ([Message("user", ())], "message 1 is empty"),
        ([*user("ok"), *user(7)], "message 2, part 1 is a int"),
        (user("ok", {"text": "x"}), "part 2 has the type None; known types: text"),
        (user({"type": "audio"}), "type 'audio'; known types: text, .*image_url"),
        (user({"type": "text"}), "nothing as text"),
        (user({"type": "text", "text": 3}), "a int as text"),
        (user({"type": "image"}), "picture without a source; put it under one of 'image'"),
        (user({"type": "image_url", "image_url": {}}), "nothing as its picture"),
        (user({"type": "image_url", "image_url": 3}), "a int as its picture"),
        (user({"type": "image", "base64": 3}), "a int under 'base64'"),
        (user({"type": "video", "path": "a.mp4"}), "video is not read yet"),
        (user({"type": "video_url", "video_url": {"url": "u"}}), "video is not read yet"),
    ],
)
def test_what_cannot_be_used_is_named(raw, match):
    with pytest.raises(InputError, match=match):
        parse_messages(raw)


def test_broken_base64_is_named():
    with pytest.raises(MediaError, match="message 1, part 1 has broken base64"):
        parse_messages(user({"type": "image", "base64": "not base64!"}))


def test_pictures_are_opened_in_place(tmp_path):
    PICTURE.save(tmp_path / "a.png")
    messages = parse_messages(user("look", {"type": "image", "path": str(tmp_path / "a.png")}))
    (opened,) = load_pictures(messages)
    assert opened.parts[0] == TextPart("look")
    assert opened.parts[1].source.tobytes() == PICTURE.tobytes()


def test_urls_stay_closed_when_opening():
    messages = parse_messages(user({"type": "image", "url": "https://example.org/a.png"}))
    with pytest.raises(MediaError, match="nothing is fetched unasked"):
        load_pictures(messages)
