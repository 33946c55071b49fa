"""Beginnings of prompts on the disk: what a second process need not read, with the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from smolvlm.config import ImageRules
from smolvlm.engines.base import Engine
from smolvlm.engines.choose import create_engine
from smolvlm.engines.disk_cache import DiskCache
from smolvlm.generation.generate import Generation
from smolvlm.generation.prefixes import Prefixes
from smolvlm.generation.sequence import Request
from smolvlm.generation.stored_prefixes import StoredPrefixes
from smolvlm.types import Answer, GenerationSettings
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.mock_engine import ByteDecoder, MockEngine, mock_config, spell


class Silent:
    """A decoder for a network whose tokens mean nothing."""

    def push(self, token_id: int) -> str:
        return "."

    def flush(self) -> str:
        return ""


@pytest.fixture(scope="module", params=["torch", "openvino"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path_factory.mktemp("tiny"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMOLVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        return create_engine(
            open_checkpoint(folder),
            ImageRules.from_folder(folder),
            engine=request.param,
            precision="f32",
        )


def question(engine: Engine, pictures: Sequence[int], *words: int) -> Request:
    """Pictures of random pixels by number, then words."""
    config = engine.config
    ids, side = [20, 21], config.vision.image_size
    for number in pictures:
        ids += [config.image_token_id] * config.tokens_per_tile + [22 + number]
    tiles = [
        np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
        for number in pictures
    ]
    return Request(
        np.array([*ids, *words], dtype=np.int64),
        np.array(tiles, dtype=np.uint8).reshape(-1, side, side, 3),
        GenerationSettings(max_new_tokens=24),
    )


def process(
    engine: Engine, folder: Path, *requests: Request, identity: str = "one"
) -> list[Answer]:
    """Answers as a process of its own gives them: nothing but the folder is shared with others."""
    shelf = StoredPrefixes(engine, DiskCache(folder, identity, max_bytes=10**8))
    prefixes = Prefixes(engine, max_bytes=0, shelf=shelf)
    return [Generation(engine, [r], Silent, prefixes=prefixes).run()[0] for r in requests]


def held(answers: Sequence[Answer]) -> list[int]:
    return [answer.timings.reused_tokens for answer in answers]


def test_a_second_process_reads_only_the_question(engine: Engine, tmp_path: Path) -> None:
    tile = engine.config.tokens_per_tile
    first, second = question(engine, (1,), 100, 101), question(engine, (1,), 200, 201, 202)
    assert held(process(engine, tmp_path, first)) == [0]
    seen = process(engine, tmp_path, second, first)
    assert held(seen) == [2 + tile, 2 + tile]
    wanted = [Generation(engine, [request], Silent).run()[0] for request in (second, first)]
    assert [answer.tokens for answer in seen] == [answer.tokens for answer in wanted]


def test_the_longest_beginning_is_taken(engine: Engine, tmp_path: Path) -> None:
    tile = engine.config.tokens_per_tile
    process(engine, tmp_path, question(engine, (1,), 100), question(engine, (1, 2), 100))
    assert len(list(tmp_path.iterdir())) == 2
    asked = [((1, 2), 200), ((1, 3), 200), ((1, 2, 3), 200), ((2, 1), 200), ((3,), 100)]
    requests = [question(engine, pictures, word) for pictures, word in asked]
    seen = process(engine, tmp_path, *requests)
    two = 2 + tile + 1 + tile
    assert held(seen) == [two, 2 + tile, two, 0, 0]
    wanted = [Generation(engine, [request], Silent).run()[0] for request in requests]
    assert [answer.tokens for answer in seen] == [answer.tokens for answer in wanted]


def test_words_alone_are_not_kept(engine: Engine, tmp_path: Path) -> None:
    process(engine, tmp_path, question(engine, (), *range(100, 140)))
    assert list(tmp_path.iterdir()) == []


def test_another_origin_is_read_anew(engine: Engine, tmp_path: Path) -> None:
    request = question(engine, (1,), 100)
    process(engine, tmp_path, request)
    assert held(process(engine, tmp_path, request, identity="two")) == [0]


def test_a_damaged_entry_is_read_anew_and_replaced(engine: Engine, tmp_path: Path) -> None:
    request = question(engine, (1,), 100)
    [wanted] = process(engine, tmp_path, request)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    damaged, mended = process(engine, tmp_path, request, request)
    assert held([damaged, mended]) == [0, 2 + engine.config.tokens_per_tile]
    assert damaged.tokens == mended.tokens == wanted.tokens


def test_arrays_of_another_shape_are_passed_over(engine: Engine, tmp_path: Path) -> None:
    request = question(engine, (1,), 100)
    process(engine, tmp_path, request)
    disk = DiskCache(tmp_path, "one", max_bytes=10**8)
    [path] = tmp_path.iterdir()
    for key in _keys_of(path):
        disk.put(key, {"0.keys": np.zeros((1, 2, 3), np.float32)})
    assert held(process(engine, tmp_path, request)) == [0]


def _keys_of(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return [file.metadata()["key"]]


def test_memory_comes_before_the_disk(engine: Engine, tmp_path: Path) -> None:
    shelf = StoredPrefixes(engine, DiskCache(tmp_path, "one", max_bytes=10**8))
    prefixes = Prefixes(engine, max_bytes=10**8, shelf=shelf)
    requests = [question(engine, (1,), 100, 101, word) for word in (102, 103)]
    answers = [Generation(engine, [r], Silent, prefixes=prefixes).run()[0] for r in requests]
    assert held(answers)[1] == len(requests[0].token_ids) - 1
    assert len(prefixes) == 1


def test_an_engine_whose_states_cannot_leave_it_keeps_nothing(tmp_path: Path) -> None:
    engine = MockEngine(mock_config(), [spell("a"), spell("b")])
    request = Request(
        np.array([5, 3, 3, 3, 3, 6], dtype=np.int64), np.zeros((1, 16, 16, 3), np.uint8)
    )
    shelf = StoredPrefixes(engine, DiskCache(tmp_path, "one", max_bytes=10**8))
    prefixes = Prefixes(engine, max_bytes=0, shelf=shelf)
    texts = [
        Generation(engine, [request], ByteDecoder, prefixes=prefixes).run()[0].text for _ in "ab"
    ]
    assert texts == ["a", "b"] and list(tmp_path.iterdir()) == []
