"""Stages of one question, what they ask of the machine, and medians over rounds."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from smolvlm.config import ModelConfig
from smolvlm.evaluation.speed import (
    Limits,
    Round,
    Work,
    measure,
    picture_bytes,
    shares,
    summary,
    work,
)
from smolvlm.processing.processor import Processor
from smolvlm.training.flops import Cost
from smolvlm.training.stages import Stage
from tests.checkpoints import golden_json, make_tiny
from tests.mock_engine import MockEngine

NAME = "SmolVLM-256M-Instruct"
ROUND = Round(decode=1.0, preprocess=2.0, vision=30.0, prefill=10.0, first_token=0.5, tpot=4.0)


def test_every_stage_is_timed_once(tmp_path: Path) -> None:
    """The engine is asked for exactly one picture, one prompt and the tokens after the first."""
    folder = make_tiny(NAME, tmp_path, tokenizer=True)
    processor = Processor.from_folder(folder)
    engine = MockEngine(processor.config, [range(100, 200)])
    told = measure(engine, processor, picture_bytes(512, 512), "What is this?", 5)
    assert engine.calls == [("encode_tiles", 1), *[("step", 1)] * 5]
    assert all(value > 0 for value in vars(told).values())
    assert told.ttft == math.fsum(value for name, value in vars(told).items() if name != "tpot")
    assert [state.closed for state in engine.states] == [True]


def test_the_made_picture_has_its_size() -> None:
    with Image.open(io.BytesIO(picture_bytes(300, 400))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (400, 300))
    assert picture_bytes(300, 400) == picture_bytes(300, 400)


def test_work_is_that_of_the_published_256m() -> None:
    """By hand for the vision tower (the figures of its paper-and-pencil count), one tile."""
    config = ModelConfig.from_json(golden_json(NAME, "config"))
    needs = work(config, "bf16", tiles=1, prompt_tokens=900)
    layer = 1024 * (2 * 4 * 768**2 + 2 * 2 * 768 * 3072 + 4 * 1024 * 768)
    assert needs.vision == pytest.approx(12 * layer, rel=0.01)
    assert needs.prefill == pytest.approx(219.2e9, rel=0.01)
    two = work(config, "bf16", tiles=2, prompt_tokens=900)
    assert two.vision == 2 * needs.vision and two.prefill == needs.prefill
    # 134.5 million weights are read for a token, and the keys and values of 900.
    held = 900 * 30 * 2 * 3 * 64 * 2
    assert needs.token_bytes == pytest.approx(2 * 134.5e6 + held, rel=0.01)
    small = work(config, "int8", tiles=1, prompt_tokens=900)
    assert small.token_bytes - held == pytest.approx((needs.token_bytes - held) / 2)


def test_a_tile_costs_what_training_counts_for_it() -> None:
    """The slow twin: the same products, counted for another purpose."""
    config = ModelConfig.from_json(golden_json(NAME, "config"))
    needs = work(config, "f32", tiles=1, prompt_tokens=10)
    cost = Cost.of(config, Stage())
    assert needs.vision == pytest.approx(cost.tile + cost.patches + cost.connector)


def test_summary_takes_medians() -> None:
    rounds = [replace(ROUND, vision=vision, tpot=tpot) for vision, tpot in ((9, 8), (1, 4), (5, 5))]
    told = summary(rounds)
    assert (told["vision_ms"], told["tpot_ms"], told["tokens_per_s"]) == (5, 5, 200.0)
    assert told["ttft_ms"] == 18.5 and told["ttft_range_ms"] == [14.5, 22.5]
    assert told["tpot_range_ms"] == [4, 8]


def test_shares_of_the_limits() -> None:
    told = shares(summary([ROUND]), Work(3e9, 2e9, 4e6), Limits(flops=2e11, bandwidth=2e9))
    assert told["vision_flops"] == pytest.approx(1e11)
    assert told["vision_share"] == pytest.approx(0.5)
    assert told["prefill_share"] == pytest.approx(1.0)
    assert told["decode_bandwidth"] == pytest.approx(1e9)
    assert told["decode_share"] == pytest.approx(0.5)
