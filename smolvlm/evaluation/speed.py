"""Where the time of one question goes, stage by stage, and how much of the machine each stage uses.

One round is one question about one picture, from the bytes of a file to the last token, with
nothing kept from the round before. Every stage is timed by itself, so that the sum is the time to
the first token. The sampler is the greedy one; the words of the answer do not matter. Several
rounds, engines side by side and tables are left to `cli/bench.py`, the limits of the machine to
`engines/openvino_limits.py`.

Letters: S tile side, T visual tokens per tile, H text width, L prompt tokens, V vocabulary.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smolvlm.config import ModelConfig
from smolvlm.engines.base import Engine, KVState, Step
from smolvlm.generation.memory import encode, missing_features
from smolvlm.media.images import load_image
from smolvlm.processing.processor import Processor
from smolvlm.types import ImagePart, Message, ModelInputs, TextPart

Value = TypeVar("Value")
# Bytes of a stored number of each precision.
WIDTHS: Mapping[str, float] = {"f32": 4, "bf16": 2, "int8": 1, "int4": 0.5625}


@dataclass(frozen=True)
class Round:
    """Milliseconds of the stages of one question.

    decode: the file's bytes to pixels. preprocess: pixels to tiles, words to ids. first_token: from
    logits to its text. tpot: the median of the later tokens.
    """

    decode: float
    preprocess: float
    vision: float
    prefill: float
    first_token: float
    tpot: float

    @property
    def ttft(self) -> float:
        """Time to the first token."""
        return self.decode + self.preprocess + self.vision + self.prefill + self.first_token


@dataclass(frozen=True)
class Work:
    """What a question asks of the machine: floating-point operations, and bytes read a token."""

    vision: float
    prefill: float
    token_bytes: float


@dataclass(frozen=True)
class Limits:
    """What the machine does at best: operations a second, bytes read a second."""

    flops: float
    bandwidth: float


def picture_bytes(height: int, width: int) -> bytes:
    """A JPEG of smooth noise: as much to decode and to encode as a photograph of that size."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (max(height // 16, 1), max(width // 16, 1), 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def measure(
    engine: Engine, processor: Processor, picture: bytes, question: str, new_tokens: int
) -> Round:
    """One round; new_tokens: at least 2, whatever the model would rather say."""
    assert new_tokens >= 2, new_tokens
    opened, decode = timed(lambda: load_image(picture))
    inputs, preprocess = timed(lambda: _inputs(processor, opened, question))
    [features], vision = timed(lambda: encode(engine, [inputs.sample_tiles(0)]))  # (n, T, H)
    state = engine.open_state()
    try:
        ids = inputs.tokens(0)  # (L,)
        rows = missing_features(features, ids, 0, engine.config)
        [logits], prefill = timed(lambda: engine.step([Step(state, ids, rows)]))
        token, first = timed(lambda: _say(processor, logits))
        tpot = _decode(engine, state, token, new_tokens - 1)
    finally:
        state.close()
    return Round(decode, preprocess, vision, prefill, first, tpot)


def _inputs(processor: Processor, picture: Image.Image, question: str) -> ModelInputs:
    message = Message("user", (ImagePart(picture), TextPart(question)))
    return processor([processor.open((message,))])


def _say(processor: Processor, logits: NDArray[np.float32]) -> int:
    token = int(logits[-1].argmax())
    processor.tokenizer.stream().push(token)
    return token


def _decode(engine: Engine, state: KVState, token: int, count: int) -> float:
    """The median milliseconds of one token; the logits (1, V) choose the next."""
    spent = []
    for _ in range(count):
        step = Step(state, np.array([token]))
        [logits], milliseconds = timed(lambda step=step: engine.step([step]))  # type: ignore[misc]
        token = int(logits[-1].argmax())
        spent.append(milliseconds)
    return median(spent)


def timed(call: Callable[[], Value]) -> tuple[Value, float]:
    """What a call returns, and its milliseconds."""
    start = perf_counter()
    returned = call()
    return returned, (perf_counter() - start) * 1e3


def work(config: ModelConfig, precision: str, *, tiles: int, prompt_tokens: int) -> Work:
    """What a question of so many tiles and tokens asks for: products only, two operations each.

    Prefill counts the half of attention that a causal mask leaves. A token reads every matrix of
    the language model once, in the stored width, and the keys and values before it in 16 bits.
    """
    text = config.text
    heads = 2 * (text.num_attention_heads + text.num_key_value_heads) * text.head_dim
    weights = text.num_hidden_layers * text.hidden_size * (heads + 3 * text.intermediate_size)
    head = text.hidden_size * text.vocab_size
    attention = 2 * text.num_hidden_layers * text.num_attention_heads * text.head_dim
    held = 2 * 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim
    return Work(
        vision=float(tiles * _tile_work(config)),
        prefill=2.0 * (weights * prompt_tokens + head) + attention * prompt_tokens**2,
        token_bytes=(weights + head) * WIDTHS.get(precision, 4) + held * prompt_tokens,
    )


def _tile_work(config: ModelConfig) -> int:
    vision, patches = config.vision, config.vision.num_patches
    width = vision.hidden_size
    layer = 2 * (4 * width**2 + 2 * width * vision.intermediate_size) + 4 * patches * width
    cutting = 2 * vision.num_channels * vision.patch_size**2 * width
    connector = 2 * config.tokens_per_tile * config.connector_width * config.text.hidden_size
    return patches * (vision.num_hidden_layers * layer + cutting) + connector


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over rounds, and the range of the two figures people ask for."""
    stages = {
        f"{field.name}_ms": median(getattr(r, field.name) for r in rounds)
        for field in fields(Round)
    }
    ttft = sorted(r.ttft for r in rounds)
    return stages | {
        "ttft_ms": median(ttft),
        "ttft_range_ms": [ttft[0], ttft[-1]],
        "tokens_per_s": 1e3 / stages["tpot_ms"],
        "tpot_range_ms": [min(r.tpot for r in rounds), max(r.tpot for r in rounds)],
    }


def shares(figures: Mapping[str, Any], needs: Work, limits: Limits) -> dict[str, float]:
    """Operations and bytes a second that were reached, and their shares of the limits."""
    vision = needs.vision / (figures["vision_ms"] / 1e3)
    prefill = needs.prefill / (figures["prefill_ms"] / 1e3)
    bandwidth = needs.token_bytes / (figures["tpot_ms"] / 1e3)
    return {
        "vision_flops": vision,
        "vision_share": vision / limits.flops,
        "prefill_flops": prefill,
        "prefill_share": prefill / limits.flops,
        "decode_bandwidth": bandwidth,
        "decode_share": bandwidth / limits.bandwidth,
    }


def limits_json(limits: Limits) -> dict[str, float]:
    """As a report holds them."""
    return asdict(limits)
