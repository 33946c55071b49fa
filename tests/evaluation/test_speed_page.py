"""The page about speed: its tables come from reports, ratios from engines that answer right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import speed_page
from benchmarks.speed_page import peers_block, placed, stages_block, table

ABOUT = {
    "date": "2026-01-02T03:04:05+00:00",
    "hardware": {"cpu": "Xeon", "cpus_used": 2, "features": ["avx2"]},
    "versions": {"smolvlm": "0.1"},
}
RIGHT = {"same_tokens": 12, "of": 12, "cosine": 1.0}
WRONG = {"same_tokens": 1, "of": 12, "cosine": 1.0}


def engine(decode: float, vision: float, check: dict[str, Any]) -> dict[str, Any]:
    return {"decode_tokens_per_s": decode, "vision1_ms": vision, "check": check}


ENGINES = {
    "smolvlm-int8": engine(120.0, 80.0, RIGHT),
    "onnxruntime-int8": engine(100.0, 240.0, RIGHT),
    "transformers-bf16": engine(30.0, 160.0, RIGHT),
    "broken-int8": engine(400.0, 1.0, WRONG),
}


def test_ratios_are_against_the_best_that_answers_right() -> None:
    shown = table(speed_page.PEER_ROWS, ENGINES, ratio=True).splitlines()
    assert shown[0].endswith("| smolvlm-int8 / best other |")
    [vision] = [line for line in shown if line.startswith("| vision, 1 tile")]
    [decode] = [line for line in shown if line.startswith("| decoding")]
    assert vision.endswith("| 0.50 |") and decode.endswith("| 1.20 |")
    assert "240 ms" in vision and "400 tokens/s" in decode
    assert not [line for line in shown if line.startswith("| prefill")]  # nobody has it


def test_a_report_of_peers() -> None:
    rounds = {"smolvlm-int8": {"decode": [{"tokens_per_s": 120.0, "others": 0.25}]}}
    skipped = {"onnxruntime-f32": "onnxruntime is not installed"}
    block = peers_block({**ABOUT, "engines": ENGINES, "rounds": rounds, "skipped": skipped})
    assert "2026-01-02, Xeon, 2 processors (avx2); smolvlm 0.1." in block
    assert "| broken-int8 | 1 of 12 | 1.0 |" in block
    assert "at most 0.25" in block and "onnxruntime-f32 (onnxruntime is not installed)" in block


def test_a_report_of_stages() -> None:
    engines = [{"name": "bf16", "ttft_ms": 123.4, "vision_share": 0.5}, {"name": "x", "error": "y"}]
    stages = stages_block({**ABOUT, "model": "m", "picture": "p", "engines": engines})
    assert "| all of these (TTFT) | 123 ms |" in stages and "| 50 % |" in stages


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    assert {block for _, block in speed_page.blocks(tmp_path)} == {speed_page.MISSING}
    (tmp_path / "bench.json").write_text(
        json.dumps({**ABOUT, "model": "m", "picture": "p", "engines": []})
    )
    assert "Model m" in dict(speed_page.blocks(tmp_path))["stages"]


def test_a_block_is_put_between_its_marks() -> None:
    page = "a\n<!-- x: python -m benchmarks.speed_page -->\nold\n<!-- end of x -->\nb\n"
    new = placed(page, "x", "new")
    assert "\n\nnew\n\n" in new and "old" not in new and new.endswith("-->\nb\n")
    assert placed(new, "x", "new") == new
    with pytest.raises(ValueError, match="lacks the marks"):
        placed("nothing", "x", "new")


def test_the_committed_page_is_what_the_command_writes() -> None:
    page = speed_page.PAGE.read_text(encoding="utf-8")
    for name, block in speed_page.blocks(speed_page.RESULTS):
        page = placed(page, name, block)
    assert page == speed_page.PAGE.read_text(encoding="utf-8")
