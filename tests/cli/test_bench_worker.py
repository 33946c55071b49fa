"""One engine in a process of its own: rounds, memory, and what went wrong, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from smolvlm.cli.bench_worker import Asked, Worker
from smolvlm.evaluation.speed import picture_bytes
from tests.checkpoints import make_tiny


def test_a_process_measures_and_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "cache"))
    folder = make_tiny("SmolVLM-256M-Instruct", tmp_path / "tiny", tokenizer=True)
    load = {"precision": "f32", "threads": 1, "max_tiles": 1}
    worker = Worker("f32", Asked(str(folder), load, picture_bytes(64, 64), "What?"))
    try:
        assert worker.error is None and worker.load_ms > 0
        told = worker.round(3)
        assert told is not None and told.ttft > 0 and told.tpot > 0
        about = worker.describe()
        assert about["engine"]["precision"] == "f32" and about["engine"]["threads"] == 1
        assert about["tiles"] == 1 and about["prompt_tokens"] > 64
        assert about["peak_bytes"] is None or about["peak_bytes"] > 2**20
        assert about["work"]["token_bytes"] > 0
    finally:
        worker.close()


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    worker = Worker("x", Asked(str(tmp_path), {"offline": True}, b"", "What?"))
    worker.close()
    assert worker.error is not None and str(tmp_path) in worker.error
