"""Budgets: how they are written, and how many tiles they pay for."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smolvlm.config import ImageRules
from smolvlm.errors import InputError
from smolvlm.processing.budget import MOST_TILES, Allotter, Budget, Costs, Question
from smolvlm.processing.processor import Processor
from smolvlm.processing.split import BudgetPolicy, plan_split
from smolvlm.types import ImagePart, ImagePlan, Message, TextPart
from tests.checkpoints import golden_json

RULES = ImageRules.from_json(golden_json("SmolVLM2-256M-Video-Instruct", "preprocessor_config"))
COSTS = Costs(fixed=10.0, megapixel=5.0, tile=100.0, token=0.25, token_squared=0.0001)
LARGE = (3000, 4000)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("500ms", Budget(milliseconds=500)),
        (" 0.5 s", Budget(milliseconds=500)),
        ("2s", Budget(milliseconds=2000)),
        ("256tok", Budget(tokens=256)),
        ("1ms", Budget(milliseconds=1)),
    ],
)
def test_reading(text: str, wanted: Budget) -> None:
    assert Budget.parse(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "500", "0ms", "-5ms", "fast", "1.5tok", "0tok", "5 m", "1e3ms", "5ms5ms", "٣ms x"]
)
def test_what_is_no_budget_says_how_to_write_one(text: str) -> None:
    with pytest.raises(InputError, match=r"write it as 500ms, 1\.5s or 256tok"):
        Budget.parse(text)


def test_costs_add_up() -> None:
    seen = COSTS.expected_ms(megapixels=12.0, tiles=5, prompt_tokens=400)
    assert seen == pytest.approx(10 + 60 + 500 + 100 + 16)


def allotter(budget: str, policy: BudgetPolicy | None = None) -> Allotter:
    return Allotter(
        Budget.parse(budget),
        policy or BudgetPolicy(None),
        RULES,
        tokens_per_tile=64,
        picture_tokens=picture_tokens,
        costs=COSTS,
    )


def picture_tokens(plan: ImagePlan) -> int:
    return 67 * plan.num_tiles


def question(*sizes: tuple[int, int], frames: int = 0) -> Question:
    return Question(sizes, frames, other_tokens=20 + 70 * frames)


def plans(policy: BudgetPolicy, asked: Question) -> list[ImagePlan]:
    return [plan_split(*size, RULES, policy) for size in asked.sizes]


@pytest.mark.parametrize("milliseconds", [1, 150, 230, 500, 1000, 1700, 2500, 9000])
@pytest.mark.parametrize(
    "asked",
    [question(LARGE), question(LARGE, (480, 640)), question((512, 512)), question(LARGE, frames=3)],
)
def test_as_many_tiles_as_the_time_pays_for(milliseconds: int, asked: Question) -> None:
    """The slow twin tries every number of tiles."""
    made = allotter(f"{milliseconds}ms")
    chosen = plans(made.policy_for(asked), asked)
    affordable = [
        tried
        for tiles in range(1, MOST_TILES + 1)
        if (made.expected_ms(asked, tried := plans(BudgetPolicy(tiles), asked)) or 0)
        <= milliseconds
    ]
    assert chosen == (affordable[-1] if affordable else plans(BudgetPolicy(1), asked))


@pytest.mark.parametrize(
    ("tokens", "asked", "tiles"),
    [
        (64, question(LARGE), 1),
        (256, question(LARGE), 3),  # a grid of 1x2 and the global view: 1x3 keeps no more
        (1000, question(LARGE), 13),
        (10_000, question(LARGE), 37),
        (640, question(LARGE, LARGE), 10),
        (128, question(LARGE, LARGE), 2),
        (320, question(LARGE, frames=4), 1),
    ],
)
def test_as_many_tiles_as_the_tokens_pay_for(tokens: int, asked: Question, tiles: int) -> None:
    policy = allotter(f"{tokens}tok").policy_for(asked)
    assert sum(plan.num_tiles for plan in plans(policy, asked)) <= tiles
    spent = 64 * (asked.frames + sum(plan.num_tiles for plan in plans(policy, asked)))
    assert spent <= tokens


def test_other_limits_hold_as_well() -> None:
    policy = allotter("60s", BudgetPolicy(max_tiles=4)).policy_for(question(LARGE))
    assert policy == BudgetPolicy(max_tiles=4)


def test_words_alone_need_no_tiles() -> None:
    assert allotter("1ms", BudgetPolicy(5)).policy_for(question()) == BudgetPolicy(5)


def test_too_small_a_budget_takes_the_smallest_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = allotter("1ms")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert made.policy_for(question(LARGE)) == BudgetPolicy(max_tiles=1)
    [record] = caplog.records
    assert record.getMessage() == (
        "no question like this fits a budget of 1 ms; taking the smallest possible, 193 ms"
    )
    with caplog.at_level(logging.WARNING):
        allotter("5tok").policy_for(question(LARGE))
    assert caplog.messages[-1].endswith(
        "budget of 5 visual tokens; taking the smallest possible, 64 visual tokens"
    )


@pytest.fixture
def processor(tokenizer_gen2_folder: Path) -> Processor:
    return Processor.from_folder(tokenizer_gen2_folder, BudgetPolicy(MOST_TILES))


def picture(height: int, width: int) -> ImagePart:
    return ImagePart(Image.fromarray(np.zeros((height, width, 3), np.uint8)))


def test_a_prompt_keeps_to_its_budget_and_expects_what_it_costs(processor: Processor) -> None:
    turn = [Message("user", (picture(1500, 2000), TextPart("What is this?")))]
    assert processor.plan(turn).expected_ms is None
    counts = []
    for milliseconds in (200, 700, 1500, 5000):
        processor.keep_to(Budget(milliseconds=milliseconds), COSTS)
        plan = processor.plan(turn)
        assert plan.expected_ms is not None and plan.expected_ms <= milliseconds
        assert plan.expected_ms == COSTS.expected_ms(
            megapixels=3.0, tiles=plan.tiles, prompt_tokens=plan.prompt_tokens
        )
        assert processor([turn]).tile_counts == (plan.tiles,)
        counts.append(plan.tiles)
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] > counts[1] > 1


def test_later_turns_change_no_tile_of_earlier_ones(processor: Processor) -> None:
    """Or the keys and values of the first turn could not be kept."""
    first = Message("user", (picture(1500, 2000), TextPart("What is this?")))
    said = Message("assistant", (TextPart("A wall. " * 200),))
    second = Message("user", (picture(1500, 2000), picture(1500, 2000), TextPart("And these?")))
    processor.keep_to(Budget(milliseconds=1500), COSTS)
    alone = processor.plan([first]).pictures
    together = processor.plan([first, said, second]).pictures
    assert together[:1] == alone
    assert together[1].plan.num_tiles < alone[0].plan.num_tiles


def test_tokens_need_no_costs(processor: Processor) -> None:
    turn = [Message("user", (picture(1500, 2000), TextPart("What is this?")))]
    processor.keep_to(Budget(tokens=256))
    plan = processor.plan(turn)
    assert plan.visual_tokens <= 256 and plan.expected_ms is None
