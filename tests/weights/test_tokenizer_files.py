"""Both vocabularies against the golden ids, and the files as transformers reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from smolvlm.errors import CheckpointError
from smolvlm.weights.embedded import fetch_text_gguf
from smolvlm.weights.tokenizer_files import build_tokenizer, write_tokenizer_files

GOLDEN = Path(__file__).parents[1] / "golden"
GENERATIONS = {
    "gen2_49280": "SmolVLM2-256M-Video-Instruct",
    "gen1_49155": "SmolVLM-Instruct",
}


def added_tokens(generation: str) -> dict[str, int]:
    path = GOLDEN / "checkpoints" / f"{GENERATIONS[generation]}.added_tokens.json"
    tokens: dict[str, int] = json.loads(path.read_text())
    return tokens


@pytest.fixture(scope="module", params=GENERATIONS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder named like its generation, with its tokenizer files."""
    folder = tmp_path_factory.mktemp("files") / request.param
    folder.mkdir()
    write_tokenizer_files(folder, fetch_text_gguf(), added_tokens(folder.name), max_length=8192)
    return folder


def test_token_ids_are_the_golden_ones(written: Path) -> None:
    tokenizer = Tokenizer.from_file(str(written / "tokenizer.json"))
    cases: list[dict[str, Any]] = json.loads((GOLDEN / "fixtures.json").read_text())["tokens"]
    assert len(cases) == 30
    for case in cases:
        assert tokenizer.encode(case["text"]).ids == case[written.name], case["text"]
    assert tokenizer.get_vocab_size() == int(written.name[-5:])


def test_transformers_reads_the_files(written: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(written)
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id) == (1, 2, 0)
    assert tokenizer.eos_token == "<end_of_utterance>"
    image = added_tokens(written.name)["<image>"]
    assert tokenizer("Hello, world! 42<image>").input_ids == [
        19556, 28, 905, 17, 216, 36, 34, image,
    ]  # fmt: skip
    text = "Größe: 42 µm\n\n<image>"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_roles_of_the_second_generation_are_the_published_ones(written: Path) -> None:
    ours = json.loads((written / "special_tokens_map.json").read_text())
    published = GOLDEN / "checkpoints" / f"{GENERATIONS['gen2_49280']}.special_tokens_map.json"
    wanted = json.loads(published.read_text())
    if written.name == "gen2_49280":
        assert ours == wanted
    else:  # has no token for the overview, and its processor looks none up
        assert ours == {k: v for k, v in wanted.items() if not isinstance(v, str)}


def test_ids_with_a_gap_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"<image> gets id 49152, wanted 49190"):
        build_tokenizer(fetch_text_gguf(), {"<image>": 49190})
