"""Rows of data sets as conversations: the column forms people already have.

- `messages` with `images` (TRL, ms-swift): a picture stands where a content part says
  `{"type": "image"}` or where the text says `<image>`; with neither, all stand first.
- `texts` with `images` (FineVision): pairs of `user` and `assistant`, all pictures first.

Nothing is opened here. A picture is a path (taken from the folder of the rows), a `data:` URI,
bytes, or `{"bytes": ..., "path": ...}` as Parquet files hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from smolvlm.errors import InputError
from smolvlm.processing.messages import IMAGE_KEYS, IMAGE_TYPES, parse_messages
from smolvlm.processing.tokenizer import IMAGE
from smolvlm.types import Message

FORMS = "'messages' (with 'images') or 'texts' (with 'images')"


def read_row(row: Mapping[str, Any], folder: Path) -> tuple[Message, ...]:
    """The conversation of one row; `InputError` says what is wrong with it.

    folder: where relative picture paths begin.
    """
    if row.get("videos"):
        raise InputError("the row has 'videos', which are not read yet; give frames as 'images'")
    pictures = [_picture(value, folder) for value in _list(row.get("images"), "images")]
    if row.get("messages") is not None:
        turns = _list(row["messages"], "messages")
    elif row.get("texts") is not None:
        turns = list(_from_texts(_list(row["texts"], "texts")))
    else:
        raise InputError(f"the row has the columns {', '.join(row)}; wanted {FORMS}")
    messages = parse_messages(_placed(turns, pictures, folder))
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


def _placed(turns: Sequence[Any], pictures: list[Any], folder: Path) -> list[dict[str, Any]]:
    """The turns as lists of parts, each picture of the column at its place."""
    remaining = iter(pictures)
    # `<image>` is a place only where there is a picture for it: otherwise people wrote about it.
    placed = [_turn(turn, remaining, marks=bool(pictures), folder=folder) for turn in turns]
    left = list(remaining)
    if not left:
        return placed
    if len(left) < len(pictures):
        raise InputError(
            f"the row has {len(pictures)} pictures but places for {len(pictures) - len(left)}"
        )
    first = next((turn for turn in placed if turn["role"] == "user"), None)
    if first is None:
        raise InputError("the row has pictures but no user's turn to put them in")
    first["content"] = [{"type": "image", "image": picture} for picture in left] + first["content"]
    return placed


def _turn(turn: Any, pictures: Iterator[Any], *, marks: bool, folder: Path) -> dict[str, Any]:
    if not isinstance(turn, Mapping):
        raise InputError(f"a turn is a {type(turn).__name__}; wanted 'role' and 'content'")
    content = turn.get("content")
    if isinstance(content, str):
        content = list(_split(content, marks=marks))
    elif not isinstance(content, Sequence):
        return {"role": turn.get("role"), "content": content}
    return {
        "role": turn.get("role"),
        "content": [_part(part, pictures, folder) for part in content],
    }


def _split(text: str, *, marks: bool) -> Iterator[dict[str, Any]]:
    """A text with `<image>` in it as parts; a text without stays one."""
    pieces = text.split(IMAGE) if marks else [text]
    for number, piece in enumerate(pieces):
        if number:
            yield {"type": "image"}
        if piece or len(pieces) == 1:
            yield {"type": "text", "text": piece}


def _part(part: Any, pictures: Iterator[Any], folder: Path) -> Any:
    """A part with its picture filled in from the column, or its own relative path resolved."""
    if not isinstance(part, Mapping) or part.get("type") not in IMAGE_TYPES:
        return part
    key = next((key for key in (*IMAGE_KEYS, "base64") if part.get(key) is not None), None)
    if key is None:
        picture = next(pictures, None)
        if picture is None:
            raise InputError("the row has more places for pictures than pictures in 'images'")
        return {"type": "image", "image": picture}
    if key in ("image", "path"):
        return {"type": "image", "image": _picture(part[key], folder)}
    return part


def _picture(value: Any, folder: Path) -> Any:
    if isinstance(value, Mapping) and ("bytes" in value or "path" in value):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and not value.startswith(("data:", "http://", "https://")):
        return folder / value
    if value is None:
        raise InputError("the row has an empty picture in 'images'")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str | bytes | Mapping):
        return [value] if name == "images" else _refuse(value, name)
    return list(value) if isinstance(value, Sequence) else _refuse(value, name)


def _refuse(value: Any, name: str) -> list[Any]:
    raise InputError(f"{name!r} is a {type(value).__name__}; wanted a list")
