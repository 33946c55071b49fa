"""Conversations as people write them, to `Message`.

Understands this package's `Message`, the Hugging Face form (`{"type": "image", "url": ...}`,
`{"type": "video", "path": ...}`) and the OpenAI form (`{"type": "image_url", "image_url": {"url":
...}}`, `video_url`, `input_video`). Nothing is opened or fetched here except by `load_pictures`,
which calls `media/images.py`; clips are opened by `Processor.open`, prompts written in `prompt.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from smolvlm.errors import InputError, MediaError
from smolvlm.media.images import load_image
from smolvlm.media.limits import DEFAULT_LIMITS, ImageLimits
from smolvlm.media.videos import Video, is_video
from smolvlm.processing.clips import Clip
from smolvlm.types import ImagePart, Message, Part, Role, TextPart, VideoOptions, VideoPart

ROLES: tuple[str, ...] = get_args(Role)
TEXT_TYPES = ("text", "input_text", "output_text")
IMAGE_TYPES = ("image", "image_url", "input_image")
VIDEO_TYPES = ("video", "video_url", "input_video")
# Where the Hugging Face form keeps the picture, in the order they are tried.
IMAGE_KEYS = ("image", "url", "path", "image_url")
# Where the forms keep the clip; a list of pictures under "video" is a clip too.
VIDEO_KEYS = ("video", "url", "path", "video_url", "input_video")
# What a video part may say beside its source: the fields of `VideoOptions`, under the same names.
OPTION_KEYS = tuple(field.name for field in fields(VideoOptions))


def parse_messages(raw: Any) -> tuple[Message, ...]:
    """A conversation in any of the three forms; the forms may be mixed.

    `InputError` names the message and what is wrong with it: an unknown role or part, nothing in
    it, a wrong type.
    """
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        raise InputError(
            f"a conversation is a list of messages; got {_kind(raw)}."
            " A single question is [{'role': 'user', 'content': '...'}]"
        )
    if not raw:
        raise InputError("the conversation is empty; give at least one message")
    return tuple(_message(item, f"message {number}") for number, item in enumerate(raw, start=1))


def visual_part(source: Any) -> ImagePart | VideoPart:
    """A part for a source that may be either: a clip if its content is one, else a picture.

    A list and a folder are no clips here: say `VideoPart` to have them taken for one.
    """
    if isinstance(source, ImagePart | VideoPart):
        return source
    if isinstance(source, Video | Clip) or is_video(source):
        return VideoPart(source)
    return ImagePart(source)


def load_pictures(
    messages: Sequence[Message], *, limits: ImageLimits = DEFAULT_LIMITS, allow_url: bool = False
) -> tuple[Message, ...]:
    """The same conversation with every picture opened: `ImagePart.source` an RGB PIL image.

    Clips are left as they are.
    """
    return tuple(
        Message(
            message.role,
            tuple(
                ImagePart(load_image(part.source, limits=limits, allow_url=allow_url))
                if isinstance(part, ImagePart)
                else part
                for part in message.parts
            ),
        )
        for message in messages
    )


def _message(item: Any, where: str) -> Message:
    if isinstance(item, Message):
        item = {"role": item.role, "content": item.parts}
    if not isinstance(item, Mapping):
        raise InputError(f"{where} is {_kind(item)}; wanted an object with 'role' and 'content'")
    role, content = item.get("role"), item.get("content")
    if role not in ROLES:
        raise InputError(f"{where} has the role {role!r}; known roles: {', '.join(ROLES)}")
    if isinstance(content, str):
        return Message(role, (TextPart(content),))
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise InputError(f"{where} has {_kind(content)} as content; wanted text or a list of parts")
    if not content:
        raise InputError(f"{where} is empty; give it text, a picture or a clip")
    parts = (_part(part, f"{where}, part {number}") for number, part in enumerate(content, start=1))
    return Message(role, tuple(parts))


def _part(item: Any, where: str) -> Part:
    if isinstance(item, str):
        return TextPart(item)
    if isinstance(item, TextPart):
        return _text(item.text, where)
    if isinstance(item, ImagePart | VideoPart):
        return item
    if not isinstance(item, Mapping):
        raise InputError(f"{where} is {_kind(item)}; wanted text or an object with 'type'")
    kind = item.get("type")
    if kind in TEXT_TYPES:
        return _text(item.get("text"), where)
    if kind in IMAGE_TYPES:
        return ImagePart(_source(item, where, "picture", IMAGE_KEYS))
    if kind in VIDEO_TYPES:
        return _video(item, where)
    known = ", ".join((*TEXT_TYPES, *IMAGE_TYPES, *VIDEO_TYPES))
    raise InputError(f"{where} has the type {kind!r}; known types: {known}")


def _text(value: Any, where: str) -> TextPart:
    if not isinstance(value, str):
        raise InputError(f"{where} has {_kind(value)} as text; wanted a string")
    return TextPart(value)


def _video(item: Mapping[str, Any], where: str) -> VideoPart:
    """A clip with what its part says about sampling; null means not said."""
    source = _source(item, where, "clip", VIDEO_KEYS)
    said = {key: item[key] for key in OPTION_KEYS if item.get(key) is not None}
    try:
        return VideoPart(source, VideoOptions(**said) if said else None)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _source(item: Mapping[str, Any], where: str, what: str, keys: Sequence[str]) -> Any:
    """What can be opened, from either form of a part; `what` names it in messages."""
    if "base64" in item:
        return _decode_base64(item["base64"], where, what)
    key = next((key for key in keys if item.get(key) is not None), None)
    if key is None:
        names = ", ".join(repr(k) for k in (*keys, "base64"))
        raise InputError(f"{where} is a {what} without a source; put it under one of {names}")
    value = item[key]
    if isinstance(value, Mapping) and value.get("data") is not None:  # {"data": ..., "format": ...}
        return _decode_base64(value["data"], where, what)
    if isinstance(value, Mapping):
        value = value.get("url")
    if value is None or isinstance(value, bool | int | float | Mapping):
        wanted = "a path, URL or image" if what == "picture" else "a path, URL or list of pictures"
        raise InputError(f"{where} has {_kind(value)} as its {what}; wanted {wanted}")
    return Path(value) if key == "path" and isinstance(value, str) else value


def _decode_base64(value: Any, where: str, what: str) -> bytes | str:
    """Bytes of a bare base64 string; a `data:` URI under this key is left for who opens it."""
    if isinstance(value, str) and value.startswith("data:"):
        return value
    if not isinstance(value, str | bytes):
        raise InputError(f"{where} has {_kind(value)} under 'base64'; wanted a string")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise MediaError(
            f"{where} has broken base64; wanted the {what} file encoded as base64"
        ) from None


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
