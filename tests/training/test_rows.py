"""The column forms of data sets, and rows that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smolvlm.errors import InputError
from smolvlm.training.rows import read_row
from smolvlm.types import ImagePart, TextPart, VideoOptions, VideoPart

HERE = Path("rows")
REPLY = {"role": "assistant", "content": "Yes."}


def told(row: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Roles and parts; a picture as its file name in brackets."""
    return [
        (
            message.role,
            [p.text if isinstance(p, TextPart) else f"[{p.source}]" for p in message.parts],
        )
        for message in read_row(row, HERE)
    ]


def test_every_column_form_says_the_same() -> None:
    wanted = [("user", [f"[{HERE / 'a.png'}]", "Red?"]), ("assistant", ["Yes."])]
    trl = [{"type": "image"}, {"type": "text", "text": "Red?"}]
    forms: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "<image>Red?"}, REPLY], "images": ["a.png"]},
        {"messages": [{"role": "user", "content": trl}, REPLY], "images": ["a.png"]},
        {"messages": [{"role": "user", "content": "Red?"}, REPLY], "images": ["a.png"]},
        {"texts": [{"user": "Red?", "assistant": "Yes."}], "images": [{"path": "a.png"}]},
        {"messages": [{"role": "user", "content": [
            {"type": "image", "path": "a.png", "text": None}, {"type": "text", "text": "Red?"},
        ]}, REPLY]},
    ]  # fmt: skip
    for form in forms:
        assert told(form) == wanted, form


def test_pictures_stand_where_they_were_put() -> None:
    row = {
        "messages": [
            {"role": "system", "content": "Short."},
            {"role": "user", "content": "First <image> then <image>."},
            {"role": "assistant", "content": "A"},
            {"role": "user", "content": "<image>And?"},
            {"role": "assistant", "content": "B"},
        ],
        "images": ["1", "2", "3"],
    }
    a, b, c = (f"[{HERE / n}]" for n in "123")
    assert told(row)[1:4] == [
        ("user", ["First ", a, " then ", b, "."]),
        ("assistant", ["A"]),
        ("user", [c, "And?"]),
    ]


def test_without_pictures_the_mark_is_only_text() -> None:
    row = {"messages": [{"role": "user", "content": "What does <image> mean?"}, REPLY]}
    assert told(row)[0] == ("user", ["What does <image> mean?"])


def test_bytes_are_kept() -> None:
    row = {"texts": [{"user": "?", "assistant": "!"}], "images": [{"bytes": b"x", "path": "p"}]}
    assert read_row(row, HERE)[0].parts[0] == ImagePart(b"x")


def shown(row: dict[str, Any]) -> list[str | VideoPart | ImagePart]:
    """The parts of the first turn; words as they are."""
    return [p.text if isinstance(p, TextPart) else p for p in read_row(row, HERE)[0].parts]


@pytest.mark.parametrize("videos", [["a.mp4"], "a.mp4", [{"path": "a.mp4"}]])
def test_clips_stand_where_they_were_put(videos: Any) -> None:
    """The form of ms-swift, of TRL, and a column alone."""
    clip = VideoPart(HERE / "a.mp4")
    parts = [{"type": "text", "text": "Look:"}, {"type": "video"}, {"type": "text", "text": "?"}]
    for content, wanted in (
        ("Look:<video>?", ["Look:", clip, "?"]),
        (parts, ["Look:", clip, "?"]),
        ("What?", [clip, "What?"]),
    ):
        row = {"messages": [{"role": "user", "content": content}, REPLY], "videos": videos}
        assert shown(row) == wanted


def test_clips_and_pictures_in_one_row() -> None:
    row = {
        "messages": [{"role": "user", "content": "<image> or <video>?"}, REPLY],
        "images": ["a.png"],
        "videos": [["1.png", "2.png"]],
    }
    frames = VideoPart([HERE / "1.png", HERE / "2.png"])
    assert shown(row) == [ImagePart(HERE / "a.png"), " or ", frames, "?"]
    row["messages"] = [{"role": "user", "content": "Which?"}, REPLY]
    assert shown(row) == [frames, ImagePart(HERE / "a.png"), "Which?"]


def test_a_part_brings_its_own_clip_and_options() -> None:
    own = {"type": "video", "path": "a.mp4", "fps": 2, "max_frames": None}
    row = {"messages": [{"role": "user", "content": [own, {"type": "text", "text": "?"}]}, REPLY]}
    assert shown(row)[0] == VideoPart(HERE / "a.mp4", VideoOptions(fps=2))
    column = {"type": "video", "max_frames": 8}
    row = {"messages": [{"role": "user", "content": [column]}, REPLY], "videos": ["b.mp4"]}
    assert shown(row)[0] == VideoPart(HERE / "b.mp4", VideoOptions(max_frames=8))


USER = {"role": "user", "content": "<image>?"}
CLIP = {"role": "user", "content": "<video>?"}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"conversations": []}, "columns conversations; wanted 'messages'"),
    ({"messages": []}, "empty"),
    ({"messages": [USER], "images": ["a"]}, "last turn"),
    ({"messages": [REPLY]}, "speaks first"),
    ({"messages": [USER, REPLY], "images": ["a", "b"]}, "2 pictures but places for 1"),
    ({"messages": [{"role": "user", "content": "<image><image>"}, REPLY], "images": ["a"]}, "more"),
    ({"messages": [USER, REPLY], "images": [None]}, "empty picture"),
    ({"messages": [USER, REPLY], "images": 7}, "'images' is a int"),
    ({"messages": [USER, REPLY], "images": ["a"], "videos": [None]}, "empty clip in 'videos'"),
    ({"messages": [USER, REPLY], "images": ["a"], "videos": 7}, "'videos' is a int"),
    ({"messages": [CLIP, REPLY], "videos": ["a", "b"]}, "2 clips but places for 1"),
    ({"messages": [{"role": "user", "content": [{"type": "video"}]}, REPLY]}, "more places for cl"),
    ({"messages": [{"role": "robot", "content": "x"}, REPLY]}, "robot"),
    ({"messages": ["hello", REPLY]}, "a turn is a str"),
    ({"messages": "hello"}, "'messages' is a str"),
    ({"texts": [{"user": "?"}]}, "without 'user' and 'assistant'"),
    ({"messages": [{"role": "system", "content": "x"}, REPLY], "images": ["a"]}, "no user's turn"),
]


@pytest.mark.parametrize(("row", "words"), BAD)
def test_a_bad_row_says_what_is_wrong(row: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_row(row, HERE)
