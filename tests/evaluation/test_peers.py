"""What `benchmarks/peers.py` makes of what its engines tell; our own engine taking part."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.peer_engines import Ours, normalised
from benchmarks.peer_figures import Figures
from smolvlm.config import ModelConfig
from tests.checkpoints import make_tiny

ROOT = Path(__file__).parents[2]
NAME = "SmolVLM-256M-Instruct"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(NAME, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMOLVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_every_figure_can_be_taken_of_our_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, small in (("NEW_TOKENS", 3), ("DECODED", 2), ("HELD", 20)):
        monkeypatch.setattr(f"benchmarks.peer_figures.{name}", small)
    figures = Figures(Ours(folder, None, "f32"), ModelConfig.from_folder(folder))
    for name in ("vision2", "prefill30", "decode", "e2e1", "second"):
        assert all(value > 0 for value in figures.run(name).values()), name
    told = figures.run("check")
    assert len(told["tokens"]) == 12 and len(told["features"]) > 100
    assert figures.run("check") == told
    with pytest.raises(KeyError):
        figures.run("speed")


def test_a_second_question_is_read_after_what_is_kept(folder: Path) -> None:
    """What is kept says the same as reading everything anew."""
    peer = Ours(folder, None, "f32")
    figures = Figures(peer, ModelConfig.from_folder(folder))
    ids, features = figures.prompt(1), peer.vision(figures.seen(1))
    question = np.arange(300, 320)
    peer.prefill(ids, features)
    again = peer.again(len(ids) - 20, question)
    assert again == peer.prefill(np.concatenate([ids[:-20], question]), features)


def test_a_process_answers_or_tells_why_not(folder: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.peer_figures"]
    lines = []
    for name in ("smolvlm-f32", "smolvlm-int3"):
        done = subprocess.run(
            [*command, name, str(folder)], input="prefill20\nspeed\n", capture_output=True,
            text=True, cwd=ROOT,
        )  # fmt: skip
        lines.append([json.loads(line) for line in done.stdout.splitlines()])
    (ready, told, unknown), [refused] = lines
    assert ready == {"ready": True} and told["ms"] > 0 and "speed" in unknown["error"]
    assert "precision 'int3'" in refused["error"]


def test_what_is_not_there_is_told(folder: Path) -> None:
    assert "there is no such engine" in str(peers.obstacle("none-f32", folder))
    assert "not made" in str(peers.obstacle("optimum-bf16", folder))
    assert peers.obstacle("smolvlm-int8", folder) is None


def test_medians_and_checks() -> None:
    rounds = {"e2e1": [{"ttft_ms": t, "total_ms": 9, "others": 0.1} for t in (3, 1, 2)]}
    assert peers.medians(rounds) == {"e2e1_ttft_ms": 2, "e2e1_total_ms": 9}
    reference = {"tokens": [1, 2, 3, 4], "features": [1.0, 0.0]}
    told = peers.compare({"tokens": [1, 2, 9, 4], "features": [2.0, 0.0]}, reference)
    assert told == {"same_tokens": 2, "of": 4, "cosine": 1.0}


def test_cores_that_others_used() -> None:
    """In 2 seconds all processes used 3, of which the engine used 1."""
    assert peers.others_used((10.0, 100.0, 5.0), (12.0, 103.0, 6.0)) == 1.0
    assert peers.others_used((10.0, 0.0, 5.0), (12.0, 0.0, 6.0)) == 0.0


def test_tiles_are_normalised_as_published() -> None:
    made = normalised(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1).repeat(3, axis=3))
    assert made.shape == (1, 3, 1, 2) and made.dtype == np.float32
    assert made[0, 0, 0].tolist() == [-1.0, 1.0]
