"""Ids against observed ones; streams against whole decodes; folders that disagree."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from smolvlm.config import ModelConfig
from smolvlm.errors import CheckpointError
from smolvlm.processing.tokenizer import Plain, Tokenizer


@pytest.fixture(scope="module")
def gen2(tokenizer_gen2_folder) -> Tokenizer:
    return Tokenizer.from_folder(tokenizer_gen2_folder)


@pytest.fixture(scope="module")
def gen1(tokenizer_gen1_folder) -> Tokenizer:
    return Tokenizer.from_folder(tokenizer_gen1_folder)


def changed(source: Path, folder: Path, change) -> Path:
    """A copy of a model folder whose tokenizer.json went through `change`."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return folder


def test_ids_equal_every_observed_string(golden, gen1, gen2):
    cases = json.loads((golden / "fixtures.json").read_text())["tokens"]
    assert len(cases) == 30
    for case in cases:
        assert gen2.encode(case["text"]) == case["gen2_49280"], case
        assert gen1.encode(case["text"]) == case["gen1_49155"], case


def test_our_splitting_at_special_tokens_equals_the_library(tokenizer_gen2_folder, gen2):
    library = tokenizers.Tokenizer.from_file(str(tokenizer_gen2_folder / "tokenizer.json"))
    rng = np.random.default_rng(0)
    bits = [
        "<image>",
        "<fake_token_around_image>",
        "<row_1_col_2>",
        "<|im_end|>",
        "<im",
        "age>",
        "\n",
    ]
    bits += ["\n\n", " ", "  Hi", "it's", "42", "é", "東", "🙂", "<", "|", "<row_7_col_1>", "\t"]
    for _ in range(300):
        text = "".join(rng.choice(bits, size=rng.integers(0, 12)))
        assert gen2.encode(text) == library.encode(text, add_special_tokens=False).ids, text


def test_sizes_and_special_ids(gen1, gen2):
    assert (gen1.size, gen1.image_token_id) == (49155, 49153)
    assert (gen2.size, gen2.image_token_id) == (49280, 49190)
    assert gen2.token_id("<end_of_utterance>") == 49279
    assert gen2.token_id("<nothing of this kind>") is None
    assert gen2.is_special(49190)
    assert not gen2.is_special(198)


def test_plain_pieces_are_letters_and_merge_with_their_neighbours(gen2):
    assert gen2.encode(Plain("<image>")) == [44, 5028, 46]
    assert gen2.encode(["User: ", Plain("Compare"), " it"]) == gen2.encode("User: Compare it")
    assert gen2.encode(["a<image>", Plain("<image>"), "<image>b"]) == [
        *gen2.encode("a<image>"),
        *gen2.encode(Plain("<image>")),
        *gen2.encode("<image>b"),
    ]


@pytest.mark.parametrize(
    "text", ["Hello, world!", "naïve café – 東京 🙂", "  two  spaces\n\n\ttab", "👩‍👩‍👧‍👦 1234", ""]
)
def test_decode_undoes_encode(gen1, gen2, text):
    for tokenizer in (gen1, gen2):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_tokens_are_skipped_when_decoding_unless_asked_for(gen2):
    ids = gen2.encode("a<image>b<end_of_utterance>")
    assert gen2.decode(ids) == "ab"
    assert gen2.decode(ids, skip_special_tokens=False) == "a<image>b<end_of_utterance>"


@pytest.mark.parametrize("skip", [True, False])
def test_a_stream_of_any_ids_is_the_decode_of_all(gen2, skip):
    """Random ids are full of broken UTF-8, special tokens between halves of characters included."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        ids = rng.integers(0, gen2.size, size=rng.integers(0, 20)).tolist()
        ids += [i for byte in rng.integers(17, 273, size=8).tolist() for i in (byte, 49279)]
        stream = gen2.stream(skip_special_tokens=skip)
        pieces = [stream.push(id_) for id_ in ids]
        assert "".join(pieces) + stream.flush() == gen2.decode(ids, skip_special_tokens=skip)


def test_a_stream_never_cuts_a_character(gen2):
    text = "東京 🙂 naïve 👩‍👩‍👧‍👦 ∮"
    ids = gen2.encode(text)
    assert len(ids) > len(text.split())
    stream, seen = gen2.stream(), ""
    for id_ in ids:
        seen += stream.push(id_)
        assert text.startswith(seen)
        assert "\ufffd" not in seen
    assert seen == text
    assert stream.flush() == ""


def test_an_unfinished_character_is_held_back_until_the_end(gen2):
    ids = gen2.encode("🙂")[:1] if len(gen2.encode("🙂")) > 1 else gen2.encode("京")[:1]
    stream = gen2.stream()
    assert stream.push(ids[0]) == ""
    assert stream.flush() == "\ufffd"


def test_an_id_outside_the_vocabulary_is_an_error_of_the_caller(gen2):
    with pytest.raises(ValueError, match="99999"):
        gen2.token_bytes(99999)


@pytest.mark.parametrize(
    "name",
    ["SmolVLM-256M-Instruct", "SmolVLM-Base", "SmolVLM-Instruct", "SmolVLM2-2.2B-Instruct"],
)
def test_published_folders_agree_with_themselves(official_folder, name):
    folder = official_folder(name)
    config = ModelConfig.from_folder(folder)
    assert Tokenizer.from_folder(folder, config).size == config.text.vocab_size


def test_a_tokenizer_of_the_other_generation_is_refused(
    tokenizer_gen1_folder, tokenizer_gen2_folder
):
    config = ModelConfig.from_folder(tokenizer_gen1_folder)
    with pytest.raises(CheckpointError, match=r"<image> the id 49190, config.json says 49153"):
        Tokenizer.from_folder(tokenizer_gen2_folder, config)


def test_more_tokens_than_embeddings_are_refused(tokenizer_gen2_folder):
    config = ModelConfig.from_folder(tokenizer_gen2_folder)
    small = replace(config, text=replace(config.text, vocab_size=49279))
    with pytest.raises(CheckpointError, match=r"49280 tokens.*embedding for 49279"):
        Tokenizer.from_folder(tokenizer_gen2_folder, small)


@pytest.mark.parametrize(
    ("change", "name"), [({"eos_token_ids": (60000,)}, "eos"), ({"pad_token_id": 60000}, "pad")]
)
def test_special_ids_outside_the_vocabulary_are_refused(tokenizer_gen2_folder, change, name):
    config = replace(ModelConfig.from_folder(tokenizer_gen2_folder), **change)
    with pytest.raises(CheckpointError, match=f"{name}_token_id 60000"):
        Tokenizer.from_folder(tokenizer_gen2_folder, config)


def test_missing_special_tokens_are_named(tokenizer_gen2_folder, tmp_path):
    def drop(data):
        data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] != "<image>"]

    with pytest.raises(CheckpointError, match="lacks the special tokens <image>"):
        Tokenizer.from_folder(changed(tokenizer_gen2_folder, tmp_path, drop))


def test_some_tile_names_without_the_others_are_refused(tokenizer_gen2_folder, tmp_path):
    def drop(data):
        data["added_tokens"] = [t for t in data["added_tokens"] if "row_6" not in t["content"]]

    with pytest.raises(CheckpointError, match=r"lacks 6 of 37, such as <row_6_col_1>"):
        Tokenizer.from_folder(changed(tokenizer_gen2_folder, tmp_path, drop))


def test_a_tokenizer_of_another_kind_is_refused(tokenizer_gen2_folder, tmp_path):
    def swap(data):
        data["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}

    with pytest.raises(CheckpointError, match="not a byte-level tokenizer"):
        Tokenizer.from_folder(changed(tokenizer_gen2_folder, tmp_path, swap))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 3}', "\x00\x01"])
def test_a_broken_tokenizer_file_is_named(tmp_path, text):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read"):
        Tokenizer.from_folder(tmp_path)


def test_a_missing_tokenizer_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        Tokenizer.from_folder(tmp_path)
