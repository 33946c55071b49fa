"""Build the tokenizer files of a SmolVLM folder from a GGUF vocabulary and the added tokens.

Every SmolVLM has the vocabulary of SmolLM2 (byte-level BPE, each digit by itself, nothing put
before or after a text) and above it the tokens of `added_tokens.json`. A GGUF file of SmolLM2 holds
the former. How the files are read again is the business of `processing/tokenizer.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from smolvlm.errors import CheckpointError
from smolvlm.weights.gguf import GGUFFile, vocabulary

# GGUF's token type of control tokens: those that text never contains.
_CONTROL = 3
_ROLES = {
    "bos_token": "<|im_start|>",
    "eos_token": "<end_of_utterance>",
    "pad_token": "<|im_end|>",
    "unk_token": "<|endoftext|>",
}
# Second generation only: the names under which the published processor looks its tokens up.
_IMAGE_ROLES = {
    "end_of_utterance_token": "<end_of_utterance>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "image_token": "<image>",
}


def build_tokenizer(gguf_path: Path, added_tokens: Mapping[str, int]) -> Tokenizer:
    """The tokenizer of a checkpoint: the vocabulary of the GGUF file and the added tokens above it.

    `CheckpointError` when the ids of the added tokens do not follow the vocabulary without a gap.
    """
    gguf = GGUFFile(gguf_path)
    tokens, merges = vocabulary(gguf)
    ids = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = gguf.value("tokenizer.ggml.token_type")
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    added = sorted(added_tokens, key=lambda token: added_tokens[token])
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (*control, *added)]
    )
    for token, wanted in added_tokens.items():
        if tokenizer.token_to_id(token) != wanted:
            raise CheckpointError(
                f"added token {token} gets id {tokenizer.token_to_id(token)}, wanted {wanted}; "
                f"the ids must go on from the {len(tokens)} tokens of {gguf_path.name}"
            )
    return tokenizer


def write_tokenizer_files(
    folder: Path, gguf_path: Path, added_tokens: Mapping[str, int], *, max_length: int
) -> None:
    """Write tokenizer.json, tokenizer_config.json, special_tokens_map.json and added_tokens.json.

    `max_length` is the longest prompt in tokens that tokenizer_config.json announces.
    """
    tokenizer = build_tokenizer(gguf_path, added_tokens)
    tokenizer.save(str(folder / "tokenizer.json"))
    image_roles = _IMAGE_ROLES if set(_IMAGE_ROLES.values()) <= set(added_tokens) else {}
    config: dict[str, Any] = {
        **_ROLES,
        **image_roles,
        "extra_special_tokens": image_roles,
        "added_tokens_decoder": _decoder_table(tokenizer),
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        "tokenizer_class": "GPT2Tokenizer",
        "truncation_side": "left",
    }
    _write_json(folder / "tokenizer_config.json", config)
    additional = ["<fake_token_around_image>", "<image>", "<end_of_utterance>"]
    roles = {role: _flags(token) for role, token in _ROLES.items()}
    _write_json(
        folder / "special_tokens_map.json",
        {"additional_special_tokens": additional, **roles, **image_roles},
    )
    _write_json(folder / "added_tokens.json", dict(added_tokens))


def _decoder_table(tokenizer: Tokenizer) -> dict[str, dict[str, Any]]:
    """Every special token by id, in the form of tokenizer_config.json."""
    decoder = tokenizer.get_added_tokens_decoder()
    return {str(number): {**_flags(decoder[number].content), "special": True} for number in decoder}


def _flags(token: str) -> dict[str, Any]:
    plain = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    return {"content": token, **plain}


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
