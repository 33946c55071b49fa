"""Rows of data sets as conversations: the column forms people already have.

- `messages` with `images` and `videos` (TRL, ms-swift): a picture or clip stands where a content
  part says `{"type": "image"}` or `{"type": "video"}`, or where the text says `<image>` or
  `<video>`; with neither, all stand first, clips before pictures.
- `texts` with `images` (FineVision): pairs of `user` and `assistant`, all pictures first.

Nothing is opened here. A picture or clip is a path (taken from the folder of the rows), a `data:`
URI, bytes, or `{"bytes": ..., "path": ...}` as Parquet files hold it; a clip may also be a list of
such pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smolvlm.errors import InputError
from smolvlm.processing.messages import (
    IMAGE_KEYS,
    IMAGE_TYPES,
    VIDEO_KEYS,
    VIDEO_TYPES,
    parse_messages,
)
from smolvlm.processing.tokenizer import IMAGE
from smolvlm.types import Message

FORMS = "'messages' (with 'images' or 'videos') or 'texts' (with 'images')"
VIDEO = "<video>"


@dataclass(frozen=True)
class _Kind:
    """A column of things to look at, and how a turn says where one of them stands."""

    column: str
    noun: str
    type: str
    types: tuple[str, ...]
    keys: tuple[str, ...]
    mark: str


_IMAGES = _Kind("images", "picture", "image", IMAGE_TYPES, IMAGE_KEYS, IMAGE)
_VIDEOS = _Kind("videos", "clip", "video", VIDEO_TYPES, VIDEO_KEYS, VIDEO)


class _Column:
    """The pictures or clips of one row, handed out in their order."""

    def __init__(self, kind: _Kind, row: Mapping[str, Any], folder: Path) -> None:
        self.kind = kind
        values = _list(row.get(kind.column), kind.column)
        self._parts = [{"type": kind.type, kind.type: _source(v, kind, folder)} for v in values]
        self.count, self.left = len(values), iter(self._parts)

    def next(self) -> dict[str, Any]:
        """The next one; `InputError` when there is none."""
        part = next(self.left, None)
        if part is None:
            noun, column = self.kind.noun, self.kind.column
            raise InputError(f"the row has more places for {noun}s than {noun}s in {column!r}")
        return part

    def rest(self) -> list[dict[str, Any]]:
        """All of them if none has found a place; `InputError` if only some have."""
        rest = list(self.left)
        if rest and len(rest) < self.count:
            placed, noun = self.count - len(rest), self.kind.noun
            raise InputError(f"the row has {self.count} {noun}s but places for {placed}")
        return rest


def read_row(row: Mapping[str, Any], folder: Path) -> tuple[Message, ...]:
    """The conversation of one row; `InputError` says what is wrong with it.

    folder: where relative paths of pictures and clips begin.
    """
    columns = [_Column(kind, row, folder) for kind in (_VIDEOS, _IMAGES)]
    if row.get("messages") is not None:
        turns = _list(row["messages"], "messages")
    elif row.get("texts") is not None:
        turns = list(_from_texts(_list(row["texts"], "texts")))
    else:
        raise InputError(f"the row has the columns {', '.join(row)}; wanted {FORMS}")
    messages = parse_messages(_placed(turns, columns, folder))
    if messages[-1].role != "assistant":
        raise InputError("the last turn is not the assistant's; there is nothing to learn from it")
    if messages[0].role == "assistant":
        raise InputError("the assistant speaks first; wanted a user's turn before it")
    return messages


def _from_texts(texts: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for pair in texts:
        if not isinstance(pair, Mapping) or {"user", "assistant"} - set(pair):
            raise InputError(f"'texts' holds {type(pair).__name__} without 'user' and 'assistant'")
        yield {"role": "user", "content": pair["user"]}
        yield {"role": "assistant", "content": pair["assistant"]}


def _placed(turns: Sequence[Any], columns: Sequence[_Column], folder: Path) -> list[dict[str, Any]]:
    """The turns as lists of parts, each picture and clip of the columns at its place."""
    placed = [_turn(turn, columns, folder) for turn in turns]
    first = next((turn for turn in placed if turn["role"] == "user"), None)
    left = [part for column in columns for part in column.rest()]
    if left and first is None:
        raise InputError("the row has pictures or clips but no user's turn to put them in")
    if left and first is not None:
        first["content"] = left + first["content"]
    return placed


def _turn(turn: Any, columns: Sequence[_Column], folder: Path) -> dict[str, Any]:
    if not isinstance(turn, Mapping):
        raise InputError(f"a turn is a {type(turn).__name__}; wanted 'role' and 'content'")
    content = turn.get("content")
    if isinstance(content, str):
        content = list(_split(content, columns))
    elif not isinstance(content, Sequence):
        return {"role": turn.get("role"), "content": content}
    return {
        "role": turn.get("role"),
        "content": [_part(part, columns, folder) for part in content],
    }


def _split(text: str, columns: Sequence[_Column]) -> Iterator[dict[str, Any]]:
    """A text with `<image>` or `<video>` in it as parts; a text without stays one."""
    # A mark is a place only where there is something for it: otherwise people wrote about it.
    kinds = {column.kind.mark: column.kind for column in columns if column.count}
    pattern = "|".join(map(re.escape, kinds))
    pieces = re.split(f"({pattern})", text) if kinds else [text]
    for number, piece in enumerate(pieces):
        if number % 2:
            yield {"type": kinds[piece].type}
        elif piece or len(pieces) == 1:
            yield {"type": "text", "text": piece}


def _part(part: Any, columns: Sequence[_Column], folder: Path) -> Any:
    """A part with its source filled in from the column, or its own relative path resolved."""
    if not isinstance(part, Mapping):
        return part
    column = next((c for c in columns if part.get("type") in c.kind.types), None)
    if column is None:
        return part
    kind = column.kind
    key = next((key for key in (*kind.keys, "base64") if part.get(key) is not None), None)
    if key is None:
        return {**part, **column.next()}
    if key in (kind.type, "path"):
        others = {name: value for name, value in part.items() if name not in kind.keys}
        return {**others, "type": kind.type, kind.type: _source(part[key], kind, folder)}
    return part


def _source(value: Any, kind: _Kind, folder: Path) -> Any:
    if kind is _VIDEOS and isinstance(value, list | tuple):  # its frames
        return [_source(frame, _IMAGES, folder) for frame in value]
    if isinstance(value, Mapping) and ("bytes" in value or "path" in value):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and not value.startswith(("data:", "http://", "https://")):
        return folder / value
    if value is None:
        raise InputError(f"the row has an empty {kind.noun} in {kind.column!r}")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str | bytes | Mapping):
        return [value] if name in ("images", "videos") else _refuse(value, name)
    return list(value) if isinstance(value, Sequence) else _refuse(value, name)


def _refuse(value: Any, name: str) -> list[Any]:
    raise InputError(f"{name!r} is a {type(value).__name__}; wanted a list")
