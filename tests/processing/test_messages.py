"""The three forms of a conversation, and every way to get them wrong."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smolvlm.errors import InputError, MediaError
from smolvlm.media.videos import Slides
from smolvlm.processing.messages import load_pictures, parse_messages, visual_part
from smolvlm.types import ImagePart, Message, TextPart, VideoOptions, VideoPart
from tests.clips import write_clip

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


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ({"type": "video", "video": "a.mp4"}, "a.mp4"),
        ({"type": "video", "path": "a.mp4"}, Path("a.mp4")),
        ({"type": "video", "url": "https://example.org/a.mp4"}, "https://example.org/a.mp4"),
        ({"type": "video", "video": ["1.png", "2.png"]}, ["1.png", "2.png"]),
        ({"type": "video", "base64": base64.b64encode(b"raw").decode()}, b"raw"),
        ({"type": "video_url", "video_url": {"url": "u"}}, "u"),
        ({"type": "video_url", "video_url": "u"}, "u"),
        ({"type": "input_video", "video_url": "u"}, "u"),
        ({"type": "input_video", "input_video": {"url": "u"}}, "u"),
        ({"type": "input_video", "input_video": {"data": "cmF3", "format": "mp4"}}, b"raw"),
        (VideoPart("a.mp4"), "a.mp4"),
    ],
)
def test_clips_of_every_form(part, source):
    (message,) = parse_messages(user(part))
    assert message.parts == (VideoPart(source),)


def test_a_clip_says_how_it_is_sampled():
    said = {"fps": 2, "max_frames": 8, "start": 1, "end": None, "detail": "low"}
    (message,) = parse_messages(user({"type": "video", "path": "a.mp4", **said}))
    assert message.parts[0].options == VideoOptions(fps=2, max_frames=8, start=1)


def test_what_may_be_either_is_told_by_its_content(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 3).rename(tmp_path / "clip.png")
    assert visual_part(clip) == VideoPart(clip)
    assert visual_part(clip.read_bytes()) == VideoPart(clip.read_bytes())
    PICTURE.save(tmp_path / "still.gif")
    assert visual_part(tmp_path / "still.gif") == ImagePart(tmp_path / "still.gif")
    for source in (PICTURE, tmp_path, tmp_path / "gone.mp4"):
        assert isinstance(visual_part(source), ImagePart)
    slides = Slides([PICTURE], [0.0])
    assert visual_part(slides) == VideoPart(slides)
    for part in (ImagePart("x"), VideoPart("x", VideoOptions(fps=2))):
        assert visual_part(part) is part


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
        (user({"type": "video"}), "clip without a source; put it under one of 'video'"),
        (user({"type": "video_url", "video_url": {}}), "nothing as its clip; wanted a path, URL"),
        (user({"type": "video", "video": 3}), "a int as its clip"),
        (user({"type": "video", "path": "a", "fps": 0}), "part 1: fps is 0; wanted a number"),
        (user({"type": "video", "path": "a", "start": 5, "end": 2}), "part 1: start .* before end"),
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
