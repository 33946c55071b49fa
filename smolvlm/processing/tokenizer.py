"""Text to token ids and back, over a model folder's `tokenizer.json`.

Byte-level BPE as every SmolVLM has it. Two things are done here rather than by the tokenizers
library: special tokens are told apart from the same letters typed by a user (`Plain`), and a stream
of ids becomes text without ever cutting a UTF-8 character. How prompts look is left to `prompt.py`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import tokenizers
import tokenizers.decoders

from smolvlm.config import ModelConfig
from smolvlm.errors import CheckpointError
from smolvlm.processing.split import MAX_GRID

IMAGE = "<image>"
FAKE = "<fake_token_around_image>"
GLOBAL = "<global-img>"
END_OF_UTTERANCE = "<end_of_utterance>"
REQUIRED = (IMAGE, FAKE, END_OF_UTTERANCE)


def tile_name(row: int, col: int) -> str:
    """The published name of a tile; both count from 1."""
    return f"<row_{row}_col_{col}>"


class Plain(str):
    """A piece of text in which special tokens are only letters."""

    __slots__ = ()


class Tokenizer:
    """One vocabulary; thread-safe after construction.

    `encode` adds nothing (no BOS, no EOS), as the published files say.
    """

    def __init__(self, inner: tokenizers.Tokenizer, *, where: str = "tokenizer.json") -> None:
        self._inner = inner
        inner.no_padding()
        inner.no_truncation()
        # Special tokens are found by `encode`; the library must not find them again in a user's
        # words.
        inner.encode_special_tokens = True
        added = inner.get_added_tokens_decoder()
        self.special_ids = {token.content: id_ for id_, token in added.items() if token.special}
        missing = [name for name in REQUIRED if name not in self.special_ids]
        if missing:
            raise CheckpointError(
                f"{where} lacks the special tokens {' '.join(missing)};"
                " it does not belong to a SmolVLM"
            )
        self._skipped = frozenset(self.special_ids.values())
        self._check_tile_names(where)

    @classmethod
    def from_folder(cls, folder: Path, config: ModelConfig | None = None) -> Tokenizer:
        """Read `tokenizer.json`; with a config, `CheckpointError` when the two disagree."""
        path = folder / "tokenizer.json"
        try:
            inner = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CheckpointError(f"{path} is missing; a model folder needs it") from None
        except Exception as error:  # the library raises bare Exception for a file it cannot read
            raise CheckpointError(f"{path} cannot be read as a tokenizer: {error!r}") from None
        if not isinstance(inner.decoder, tokenizers.decoders.ByteLevel):
            raise CheckpointError(f"{path} is not a byte-level tokenizer; every SmolVLM has one")
        tokenizer = cls(inner, where=str(path))
        if config is not None:
            tokenizer.check(config, where=str(path))
        return tokenizer

    def _check_tile_names(self, where: str) -> None:
        """Generation 2 has all 36 tile names and the global one as tokens, generation 1 none."""
        sides = range(1, MAX_GRID + 1)
        names = [GLOBAL, *(tile_name(row, col) for row in sides for col in sides)]
        lacking = [name for name in names if name not in self.special_ids]
        if 0 < len(lacking) < len(names):
            raise CheckpointError(
                f"{where} has some tile tokens but lacks {len(lacking)} of {len(names)}, such as"
                f" {lacking[0]}; wanted all or none"
            )

    def check(self, config: ModelConfig, *, where: str = "tokenizer.json") -> None:
        """Raise `CheckpointError` when this vocabulary cannot belong to this config."""
        image = self.special_ids[IMAGE]
        if image != config.image_token_id:
            raise CheckpointError(
                f"{where} gives {IMAGE} the id {image}, config.json says {config.image_token_id};"
                " the two files are of different models"
            )
        if self.size > config.text.vocab_size:
            raise CheckpointError(
                f"{where} has {self.size} tokens, config.json an embedding for"
                f" {config.text.vocab_size}; the two files are of different models"
            )
        for name, id_ in (
            *(("eos_token_id", eos) for eos in config.eos_token_ids),
            ("pad_token_id", config.pad_token_id),
        ):
            if self._inner.id_to_token(id_) is None:
                raise CheckpointError(f"{where} has no token with the {name} {id_} of the config")

    @cached_property
    def size(self) -> int:
        """One more than the highest token id."""
        highest: int = max(self._inner.get_vocab(with_added_tokens=True).values())
        return highest + 1

    @property
    def image_token_id(self) -> int:
        """The id that visual tokens take the place of."""
        return self.special_ids[IMAGE]

    def token_id(self, token: str) -> int | None:
        """The id of a token in its stored spelling, None when there is no such token."""
        id_: int | None = self._inner.token_to_id(token)
        return id_

    def encode(self, text: str | Sequence[str]) -> list[int]:
        """Token ids of a text, or of consecutive pieces as if they were one text.

        Special tokens are recognised, except in `Plain` pieces. Text between two special tokens is
        merged as a whole, so where a piece ends does not change the ids.
        """
        pieces = [text] if isinstance(text, str) else text
        ids: list[int] = []
        pending = ""
        for piece in pieces:
            if isinstance(piece, Plain):
                pending += piece
                continue
            words = self._special_pattern.split(piece)  # words, special, words, special, ..., words
            for index, word in enumerate(words):
                if index % 2:
                    ids += self._encode_words(pending)
                    ids.append(self.special_ids[word])
                    pending = ""
                else:
                    pending += word
        return ids + self._encode_words(pending)

    def _encode_words(self, text: str) -> list[int]:
        if not text:
            return []
        ids: list[int] = self._inner.encode(text, add_special_tokens=False).ids
        return ids

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.special_ids, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids; bytes that are not UTF-8 become U+FFFD."""
        text: str = self._inner.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def token_bytes(self, id_: int) -> bytes:
        """The bytes a token stands for; `ValueError` for an id outside the vocabulary."""
        token = self._inner.id_to_token(id_)
        if token is None:
            raise ValueError(f"token id {id_} is outside the vocabulary")
        if all(letter in _BYTE_OF for letter in token):
            return bytes(_BYTE_OF[letter] for letter in token)
        encoded: bytes = token.encode()
        return encoded

    def is_special(self, id_: int) -> bool:
        """Whether the id is a special token, which decoding skips by default."""
        return id_ in self._skipped

    def stream(self, *, skip_special_tokens: bool = True) -> StreamDecoder:
        """A new `StreamDecoder` for one answer."""
        return StreamDecoder(self, skip_special_tokens=skip_special_tokens)


class StreamDecoder:
    """Ids in, text out: the pieces joined are exactly `decode` of all ids."""

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, id_: int) -> str:
        """Text that became complete with this token; empty while a character is unfinished."""
        if self._skip and self._tokenizer.is_special(id_):
            return ""
        return self._utf8.decode(self._tokenizer.token_bytes(id_))

    def flush(self) -> str:
        """What is left at the end: U+FFFD for an unfinished character, usually nothing."""
        return self._utf8.decode(b"", final=True)


def _byte_letters() -> dict[str, int]:
    """The published byte alphabet: printable Latin-1 is itself, other bytes U+0100 onwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + index): byte for index, byte in enumerate(others)
    }


_BYTE_OF = _byte_letters()
