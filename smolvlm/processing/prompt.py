"""Messages to the pieces of a prompt: the chat template, then each picture's run of tokens.

The template is the checkpoint's own (jinja2, in its sandbox: a template is somebody's code). A user
who types a special token, `<image>` among them, gets those letters and nothing else: such places
travel through the template between two marks and come out as `Plain` pieces, which `tokenizer.py`
encodes as letters. Pictures and clips are expanded once, on the rendered text, so nothing a user
writes is ever taken for one. Templates know pictures and words; a clip travels through them as a
text of one letter that nobody typed (the published template for clips writes the same around it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from smolvlm.config import read_json
from smolvlm.errors import CheckpointError, InputError
from smolvlm.processing.tokenizer import (
    END_OF_UTTERANCE,
    FAKE,
    GLOBAL,
    IMAGE,
    Plain,
    Tokenizer,
    tile_name,
)
from smolvlm.types import ImagePlan, Message, Part, TextPart, VideoPart

# The grammar every published model was trained on, for folders that bring no template.
DEFAULT_TEMPLATE = (
    "<|im_start|>"
    "{% for message in messages %}"
    "{{ message.role | capitalize }}:"
    "{{ '' if message.content[0].type == 'image' else ' ' }}"
    "{% for part in message.content %}"
    "{{ '" + IMAGE + "' if part.type == 'image' else part.text }}"
    "{% endfor %}"
    "{{ '" + END_OF_UTTERANCE + "\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)  # fmt: skip


class ClipMark(str):
    """The place of a clip between the pieces of a prompt."""

    __slots__ = ()


def image_text(rows: int, cols: int, tokens_per_tile: int) -> str:
    """What stands for one picture in the prompt; rows == cols == 0 is a picture that was not split.

    Each tile opens with FAKE and its name, each row ends with a line break, the global view follows
    after another line break and alone is closed by FAKE.
    """
    run = IMAGE * tokens_per_tile
    grid = "".join(
        "".join(f"{FAKE}{tile_name(row, col)}{run}" for col in range(1, cols + 1)) + "\n"
        for row in range(1, rows + 1)
    )
    gap = "\n" if rows else ""
    return f"{grid}{gap}{FAKE}{GLOBAL}{run}{FAKE}"


def expand(
    pieces: Sequence[str],
    plans: Sequence[ImagePlan],
    tokens_per_tile: int,
    clips: Sequence[str] = (),
) -> list[str]:
    """Put each picture's run where the template wrote `<image>`, and each clip at its mark.

    clips: their texts. `Plain` pieces are left alone.
    """
    _check_marks(pieces, len(plans), len(clips))
    left, left_clips = iter(plans), iter(clips)
    expanded: list[str] = []
    for piece in pieces:
        if isinstance(piece, Plain):
            expanded.append(piece)
            continue
        if isinstance(piece, ClipMark):
            expanded.append(next(left_clips))
            continue
        first, *others = piece.split(IMAGE)
        expanded.append(first)
        for words in others:
            plan = next(left)
            expanded += [image_text(plan.rows, plan.cols, tokens_per_tile), words]
    return expanded


def _check_marks(pieces: Sequence[str], pictures: int, clips: int) -> None:
    marks = sum(piece.count(IMAGE) for piece in pieces if not isinstance(piece, Plain))
    if marks != pictures:
        raise CheckpointError(
            f"the chat template wrote {IMAGE} {marks} times for {pictures} pictures;"
            " it does not fit this family"
        )
    written = sum(isinstance(piece, ClipMark) for piece in pieces)
    if written != clips:
        raise CheckpointError(
            f"the chat template wrote {written} texts for {clips} clips;"
            " it does not fit this family"
        )


class ChatTemplate:
    """A checkpoint's template, compiled; `render` turns messages into pieces of text."""

    def __init__(
        self,
        source: str,
        *,
        where: str = "the default chat template",
        words: Mapping[str, str] | None = None,
    ) -> None:
        self._where = where
        self._words = dict(words or {})
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateError as error:
            raise CheckpointError(f"{where} is not a valid template: {error}") from None

    @classmethod
    def from_folder(cls, folder: Path) -> ChatTemplate:
        """The template of chat_template.jinja, .json or tokenizer_config.json, or the default."""
        tokenizer_config = folder / "tokenizer_config.json"
        settings = read_json(tokenizer_config) if tokenizer_config.exists() else {}
        words = _token_words(settings)
        plain = folder / "chat_template.jinja"
        if plain.exists():
            try:
                return cls(plain.read_text(encoding="utf-8"), where=str(plain), words=words)
            except (OSError, UnicodeDecodeError) as error:
                raise CheckpointError(f"{plain} cannot be read: {error}") from None
        wrapped = folder / "chat_template.json"
        if wrapped.exists():
            return cls(_entry(read_json(wrapped), wrapped), where=str(wrapped), words=words)
        if "chat_template" in settings:
            source = _entry(settings, tokenizer_config)
            return cls(source, where=f"{tokenizer_config}: chat_template", words=words)
        return cls(DEFAULT_TEMPLATE, words=words)

    def render(
        self,
        messages: Sequence[Message],
        tokenizer: Tokenizer,
        *,
        add_generation_prompt: bool = True,
    ) -> list[str]:
        """The conversation as text with an `<image>` for each picture.

        Special tokens that somebody typed come out as `Plain` pieces, clips as `ClipMark`s. The
        sources of clips are opened `Clip`s.
        """
        merged = [_merge_texts(message) for message in messages]
        opening, closing, mark = _unused_letters(merged)
        guard = re.compile(
            "|".join(map(re.escape, sorted(tokenizer.special_ids, key=len, reverse=True)))
        )

        def protect(text: str) -> str:
            return guard.sub(lambda found: f"{opening}{found[0]}{closing}", text)

        data = [_plain_data(message, protect, mark) for message in merged]
        rendered = self._render(data, add_generation_prompt)
        pieces: list[str] = []
        for index, piece in enumerate(re.split(f"[{opening}{closing}]", rendered)):
            if index % 2:
                pieces.append(Plain(piece))
                continue
            first, *others = piece.split(mark)
            pieces.append(first)
            for words in others:
                pieces += [ClipMark(), words]
        return pieces

    def _render(self, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=add_generation_prompt, **self._words
            )
        except _Refused as error:
            raise InputError(
                f"the model's chat template refuses the conversation: {error}"
            ) from None
        except Exception as error:  # a template is somebody's code: anything can come out of it
            raise CheckpointError(f"{self._where} fails: {type(error).__name__}: {error}") from None


class _Refused(jinja2.TemplateError):
    """A template called `raise_exception`, the customary way to refuse a conversation."""


def _refuse(message: str) -> NoReturn:
    raise _Refused(message)


def _environment() -> ImmutableSandboxedEnvironment:
    """What published templates are written for: block tags swallow their line's white space."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(
        value, **{"ensure_ascii": False, **options}
    )
    environment.globals["raise_exception"] = _refuse
    return environment


def _entry(data: Mapping[str, Any], path: Path) -> str:
    """The template text under `chat_template`: a string, or the one named "default" of a list."""
    value = data.get("chat_template")
    if isinstance(value, list):
        named = {t.get("name"): t.get("template") for t in value if isinstance(t, Mapping)}
        value = named.get("default")
    if not isinstance(value, str):
        raise CheckpointError(f"{path} has no text under 'chat_template'; wanted a jinja template")
    return value


def _token_words(settings: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token`, `eos_token`, ... as templates may name them."""
    words = {}
    for key, value in settings.items():
        text = value.get("content") if isinstance(value, Mapping) else value
        if key.endswith("_token") and isinstance(text, str):
            words[key] = text
    return words


def _merge_texts(message: Message) -> Message:
    """Join neighbouring texts, so that no special token can be put together from two of them."""
    parts: list[Part] = []
    for part in message.parts:
        last = parts[-1] if parts else None
        if isinstance(part, TextPart) and isinstance(last, TextPart):
            parts[-1] = TextPart(last.text + part.text)
        else:
            parts.append(part)
    return Message(message.role, tuple(parts))


def _plain_data(message: Message, protect: Callable[[str], str], mark: str) -> dict[str, Any]:
    """A message as templates read it: strings, lists and dicts only."""
    content: list[dict[str, str]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            content.append({"type": "text", "text": protect(part.text)})
        elif isinstance(part, VideoPart) and part.source.worded:
            content.append({"type": "text", "text": mark})
        elif isinstance(part, VideoPart):
            content += [{"type": "image"}] * len(part.source)
        else:
            content.append({"type": "image"})
    return {"role": message.role, "content": content}


def _unused_letters(messages: Sequence[Message]) -> tuple[str, str, str]:
    """Three private-use characters that nobody typed."""
    typed = {
        letter
        for message in messages
        for part in message.parts
        if isinstance(part, TextPart)
        for letter in part.text
    }
    free = (chr(code) for code in range(0xF0000, 0x10FFFE) if chr(code) not in typed)
    return next(free), next(free), next(free)
