"""An engine that says what a test tells it to, and objects to whatever a real engine could not run.

Each prompt (the first step of a state or after a `truncate`, and any step of several tokens) takes
the next reply of the queue; single tokens after it must be exactly the reply's own, in order. Where
the queue or a reply is used up, the model ends its turn. Nothing is computed: logits are 0 but for
a 9 at the next token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig, TextConfig, VisionConfig
from smolvlm.engines.base import EngineInfo, KVState, Step

EOS = 2
IMAGE = 3
BYTES = 16  # id of byte 0 in `ByteDecoder`'s vocabulary


def mock_config(*, context: int = 64) -> ModelConfig:
    """A config whose tiles are 16 pixels wide and have 4 visual tokens; vocabulary = bytes."""
    text = TextConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        vocab_size=BYTES + 256,
        rms_norm_eps=1e-5,
        rope_theta=1e4,
        max_position_embeddings=context,
    )
    vision = VisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_channels=3,
        image_size=16,
        patch_size=4,
        layer_norm_eps=1e-6,
    )
    return ModelConfig(
        model_type="smolvlm",
        text=text,
        vision=vision,
        scale_factor=2,
        image_token_id=IMAGE,
        tie_word_embeddings=False,
        eos_token_ids=(EOS,),
        pad_token_id=0,
    )


def spell(text: str) -> list[int]:
    """A text as ids of the byte vocabulary."""
    return [BYTES + byte for byte in text.encode()]


class ByteDecoder:
    """The smallest stream decoder: one byte a token, characters held until they are whole."""

    def __init__(self) -> None:
        self._bytes = b""

    def push(self, token_id: int) -> str:
        if token_id < BYTES:  # special tokens have no text
            return ""
        self._bytes += bytes([token_id - BYTES])
        try:
            text = self._bytes.decode()
        except UnicodeDecodeError:
            return ""
        self._bytes = b""
        return text

    def flush(self) -> str:
        held, self._bytes = self._bytes, b""
        return held.decode(errors="replace")


@dataclass
class MockState:
    """What a conversation was fed: ids and the feature rows of its `<image>` ids."""

    token_ids: list[int] = field(default_factory=list)
    features: list[NDArray[np.float32]] = field(default_factory=list)
    reply: list[int] | None = None
    said: int = 0
    closed: bool = False
    truncations: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.token_ids)

    def truncate(self, length: int) -> None:
        assert 0 <= length <= self.length, (length, self.length)
        assert not self.closed
        self.features = self.features[: self.token_ids[:length].count(IMAGE)]
        del self.token_ids[length:]
        self.reply = None
        self.truncations.append(length)

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True


class MockEngine:
    """Speaks the replies; `calls` notes what was asked of it, `states` every state it opened."""

    def __init__(self, config: ModelConfig, replies: Iterable[Sequence[int]] = ()) -> None:
        self._config = config
        self._replies = iter(replies)
        self.calls: list[tuple[str, int]] = []
        self.states: list[MockState] = []

    @property
    def config(self) -> ModelConfig:
        return self._config

    def describe(self) -> EngineInfo:
        return EngineInfo("mock", "CPU", "f32", "none", 1)

    def encode_tiles(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Row t of a tile holds (first pixel's red, t, 0, ...), so that rows can be told apart."""
        side, count = self.config.vision.image_size, self.config.tokens_per_tile
        assert tiles.dtype == np.uint8 and tiles.shape == (len(tiles), side, side, 3), tiles.shape
        assert len(tiles), "nothing to encode"
        self.calls.append(("encode_tiles", len(tiles)))
        rows = np.zeros((len(tiles), count, self.config.text.hidden_size), np.float32)  # (N, T, H)
        rows[:, :, 0] = tiles[:, :1, 0, 0]
        rows[:, :, 1] = np.arange(count)
        return rows

    def open_state(self) -> KVState:
        self.states.append(MockState())
        return self.states[-1]

    def step(self, steps: Sequence[Step]) -> list[NDArray[np.float32]]:
        assert len({id(step.state) for step in steps}) == len(steps) > 0
        self.calls.append(("step", len(steps)))
        return [self._step(step) for step in steps]

    def _step(self, step: Step) -> NDArray[np.float32]:
        state = step.state
        assert isinstance(state, MockState) and not state.closed
        assert step.token_ids.dtype == np.int64 and step.token_ids.ndim == 1
        assert len(step.token_ids) >= 1
        self._take(state, step)
        window = self.config.text.max_position_embeddings
        assert state.length <= window, (state.length, window)
        rows = len(step.token_ids) if step.logits == "all" else 1
        logits = np.zeros((rows, self.config.text.vocab_size), np.float32)  # (1 or L, V)
        logits[-1, self._next(state)] = 9.0
        return logits

    def _take(self, state: MockState, step: Step) -> None:
        visual = int(np.count_nonzero(step.token_ids == self.config.image_token_id))
        given = 0 if step.features is None else len(step.features)
        if given != visual or (step.features is not None and not given):
            raise ValueError(f"{visual} <image> ids but {given} feature rows")
        if step.features is not None:
            assert step.features.dtype == np.float32
            state.features += list(step.features)
        state.token_ids += step.token_ids.tolist()
        if state.reply is None or len(step.token_ids) > 1:
            state.reply, state.said = list(next(self._replies, [])), 0
        else:
            assert step.token_ids.tolist() == [state.reply[state.said - 1]], "fed something else"

    def _next(self, state: MockState) -> int:
        assert state.reply is not None
        state.said += 1
        if state.said <= len(state.reply):
            return state.reply[state.said - 1]
        return self.config.eos_token_ids[0]
