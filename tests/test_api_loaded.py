"""The Python face on a tiny network: the pieces joined, from a folder to an answer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import smolvlm
from smolvlm.api import Assistant
from smolvlm.errors import CacheError
from smolvlm.types import Answer
from tests.checkpoints import make_tiny

NAME = "SmolVLM2-256M-Video-Instruct"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (40, 30), (200, 0, 0)).save(path)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, tokenizer_gen2_folder: Path) -> Path:
    """A tiny random network that can be loaded from end to end."""
    folder = make_tiny(NAME, tmp_path_factory.mktemp("tiny"))
    shutil.copy(tokenizer_gen2_folder / "tokenizer.json", folder)
    return folder


@pytest.fixture(scope="module")
def loaded(tiny: Path) -> Assistant:
    return smolvlm.load(tiny, engine="torch")


def test_load_joins_the_pieces(loaded: Assistant, tiny: Path, picture: Path) -> None:
    answer = loaded.ask(picture, "What is this?", max_new_tokens=6)
    assert isinstance(answer, Answer)
    assert answer.text == loaded.processor.tokenizer.decode(answer.tokens).lstrip()
    assert loaded.info().folder == tiny
    stream = loaded.stream(picture, "What is this?", max_new_tokens=6)
    assert ("".join(stream), stream.finish().tokens) == (answer.text, answer.tokens)


def test_batch_and_chat_say_what_ask_says(loaded: Assistant, picture: Path) -> None:
    pairs = [(picture, "What is this?"), ([], "Name a colour."), ([picture, picture], "Same?")]
    alone = [loaded.ask(*pair, max_new_tokens=6).tokens for pair in pairs]
    together = loaded.ask_batch(pairs, max_new_tokens=6)
    assert [answer.tokens for answer in together] == alone
    parts = [{"type": "image", "path": str(picture)}, {"type": "text", "text": "What is this?"}]
    turn = [{"role": "user", "content": parts}]
    chat = loaded.chat(turn, max_new_tokens=6)
    assert chat.tokens == alone[0]


def test_a_later_process_finds_what_this_one_kept(
    tiny: Path, picture: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"

    def ask(question: str, **options: Any) -> Answer:
        assistant = smolvlm.load(tiny, **{"engine": "torch", "precision": "f32", **options})
        return assistant.ask(picture, question, max_new_tokens=6)

    wanted = ask("What is this?")
    first = ask("What is this?", disk_cache=kept)
    second = ask("And what else is there?", disk_cache=str(kept))
    again = ask("What is this?", disk_cache=kept)
    assert first.tokens == again.tokens == wanted.tokens
    assert [a.timings.reused_tokens > 64 for a in (first, second, again)] == [False, True, True]
    assert len(list(kept.iterdir())) == 2  # a tile's features, and a prompt up to its picture
    other = ask("What is this?", disk_cache=kept, precision="bf16")
    assert other.timings.reused_tokens == 0


def test_a_folder_that_cannot_be_written_is_said_at_once(tiny: Path, picture: Path) -> None:
    with pytest.raises(CacheError, match="cannot be made"):
        smolvlm.load(tiny, disk_cache=picture / "inside")


def test_the_same_seed_says_the_same(loaded: Assistant, picture: Path) -> None:
    def tokens(seed: int) -> tuple[int, ...]:
        return loaded.ask(picture, "?", temperature=1.0, seed=seed, max_new_tokens=8).tokens

    assert tokens(3) == tokens(3) != tokens(4)
