"""The OpenVINO engine, the default on a CPU: the graphs of one checkpoint, run for conversations.

Each conversation is an inference request with its own keys and values; its token rows come from
`token_table.py`. Compiling is left to `openvino_compile.py`; what the graphs compute is written in
`openvino_vision.py` and `openvino_text.py`. An engine and its conversations serve one thread at a
time.

Letters: N tiles, S tile side, T visual tokens per tile, H text width, L new tokens, C cache slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from smolvlm.config import ImageRules, ModelConfig
from smolvlm.engines.base import EngineInfo, KVArrays, KVState, Step
from smolvlm.engines.openvino_compile import PRECISIONS, Compiler
from smolvlm.engines.token_table import TokenTable
from smolvlm.errors import UnknownNameError
from smolvlm.weights.reader import Checkpoint

# Tiles in one run of the tower: two keep every kernel busy, more only cost memory (measured).
TILES_PER_RUN = 2
# Forgotten slots a cache may carry before it is rewritten without them. Masking them costs nothing
# next to copying the cache of every layer.
MAX_FORGOTTEN = 64
# The plugin reads several tokens after a history one by one: n new ones after h held cost about
# n * (h + n / 2) units, all of them from nothing about this many units each (measured on the 256M:
# 80 in bfloat16, 105 in float32).
FROM_NOTHING = 90


class OpenVINOState:
    """The keys and values of one conversation: an inference request and its variables.

    `truncate` hides slots of the cache instead of copying it, so the cache may hold more slots
    than the conversation has tokens. The token rows are kept too (a twentieth of the cache), to
    read them again where that is faster than going on.
    """

    def __init__(self, request: ov.InferRequest) -> None:
        self._open_request: ov.InferRequest | None = request
        self._visible = np.empty(0, dtype=np.bool_)  # (C,)
        self._inputs: dict[str, NDArray[Any]] = {}
        # In the pieces they came in; None when the cache came from elsewhere.
        self._rows: list[NDArray[np.float32]] | None = []

    @property
    def length(self) -> int:
        """Tokens held so far."""
        return int(np.count_nonzero(self._visible))

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on."""
        assert 0 <= length <= self.length, f"{length} of {self.length} tokens cannot be kept"
        kept = np.flatnonzero(self._visible)[:length]
        self._visible[:] = False
        self._visible[kept] = True
        self._forget_rows(length)
        if len(self._visible) - length > MAX_FORGOTTEN:
            self._rewrite(kept)

    def export(self, length: int) -> KVArrays:
        """The keys and values of the first `length` tokens; see `PortableState`."""
        kept = np.flatnonzero(self._visible)[:length]
        return {
            _outside(variable.name): variable.state.data[0][:, kept]  # (1, G, C, W) -> (G, L, W)
            for variable in self._request.query_state()
        }

    def restore(self, arrays: KVArrays) -> None:
        """Put exported keys and values into this empty conversation."""
        assert self.length == 0, self.length
        for variable in self._request.query_state():
            held = arrays[_outside(variable.name)][None]  # (G, L, W) -> (1, G, L, W)
            variable.state = ov.Tensor(np.ascontiguousarray(held))
        self._visible = np.ones(held.shape[2], dtype=np.bool_)  # (C,)
        self._rows = None

    def close(self) -> None:
        """Give the memory back."""
        self._open_request = None
        self._inputs, self._rows = {}, None

    def start(self, rows: NDArray[np.float32], *, first_row: int) -> None:
        """Begin to read token rows (L, H); `finish` returns the logits from row `first_row` on."""
        if self._rows is not None:
            if self.length and _is_slow(held=self.length, new=len(rows)):
                first_row = self.length if first_row == 0 else first_row
                rows = np.concatenate([*self._rows, rows])  # (held + L, H)
                self.truncate(0)
            self._rows.append(rows)
        count, length = len(rows), self.length
        self._visible = np.append(self._visible, np.ones(count, dtype=np.bool_))  # (C,)
        # Held until `finish`, because the request reads them where they are.
        self._inputs = {
            "embeddings": rows[None],  # (1, L, H)
            "positions": np.arange(length, length + count)[None],  # (1, L)
            "visible": self._visible[None],  # (1, C)
            "beams": np.zeros(1, dtype=np.int32),
            "first_row": np.array([first_row]),
        }
        self._request.start_async(self._inputs, share_inputs=True)

    def finish(self) -> NDArray[np.float32]:
        """Wait for what `start` began: logits float32 (rows, V)."""
        self._request.wait()
        logits: NDArray[np.float32] = self._request.get_tensor("logits").data[0]  # (rows, V)
        return logits.copy()

    @property
    def _request(self) -> ov.InferRequest:
        assert self._open_request is not None, "this conversation was closed"
        return self._open_request

    def _forget_rows(self, length: int) -> None:
        excess = sum(map(len, self._rows or ())) - length
        while self._rows and excess > 0:
            last = self._rows.pop()
            if len(last) > excess:
                self._rows.append(last[: len(last) - excess])
            excess -= len(last)

    def _rewrite(self, kept: NDArray[np.int64]) -> None:
        """Make the cache hold the given slots and no others."""
        if len(kept):
            for variable in self._request.query_state():
                held = variable.state.data[:, :, kept]  # (1, kv_heads, C, width) -> (…, kept, …)
                variable.state = ov.Tensor(np.ascontiguousarray(held))
        else:
            self._request.reset_state()
        self._visible = np.ones(len(kept), dtype=np.bool_)  # (C,)


class OpenVINOEngine:
    """One checkpoint in OpenVINO; see `engines/base.py` for what its methods promise."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        rules: ImageRules,
        *,
        precision: str = "f32",
        threads: int | None = None,
    ) -> None:
        """Compile both graphs in `precision`, or take them from the cache.

        precision: "f32" and "bf16" say what is computed in; "int8" and "int4" that the language
        model's matrices are stored in so many bits, and rounded to them if they are not yet.
        threads: how many CPU threads compute; None leaves OpenVINO's choice, the physical cores.
        `CacheError` when the cache cannot be written.
        """
        if precision not in PRECISIONS:
            raise UnknownNameError(
                f"the openvino engine has no precision {precision!r}; "
                f"it has {', '.join(PRECISIONS)}"
            )
        self._checkpoint = checkpoint
        self._precision = precision
        compiler = Compiler(checkpoint, rules, precision=precision, threads=threads)
        self._device = compiler.device
        self._vision, self._text = compiler.vision(), compiler.text()
        self._tower = self._vision.model.create_infer_request()
        self._table = TokenTable(checkpoint)

    @property
    def config(self) -> ModelConfig:
        """The checkpoint's config."""
        return self._checkpoint.config

    def describe(self) -> EngineInfo:
        """Name, device, precision and library version."""
        return EngineInfo(
            name="openvino",
            device=self._device,
            precision=self._precision,
            library=f"openvino {ov.__version__}",
            threads=int(self._text.model.get_property("INFERENCE_NUM_THREADS")),
        )

    def encode_tiles(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Tiles uint8 (N, S, S, 3) -> visual tokens float32 (N, T, H)."""
        config = self.config
        features = np.empty(
            (len(tiles), config.tokens_per_tile, config.text.hidden_size), dtype=np.float32
        )
        for start in range(0, len(tiles), TILES_PER_RUN):
            part = np.ascontiguousarray(tiles[start : start + TILES_PER_RUN])  # (n, S, S, 3)
            with self._vision.running():
                self._tower.infer({"tiles": part}, share_inputs=True)
            features[start : start + len(part)] = self._tower.get_tensor("features").data
        return features

    def open_state(self) -> KVState:
        """An empty conversation."""
        return OpenVINOState(self._text.model.create_infer_request())

    def step(self, steps: Sequence[Step]) -> list[NDArray[np.float32]]:
        """Advance each conversation; float32 (1, V) or (L, V) for each.

        ValueError, before any conversation changed, when the rows of `features` and the `<image>`
        ids disagree.
        """
        assert len({id(step.state) for step in steps}) == len(steps), "a state appears twice"
        states = [_own(step.state) for step in steps]
        rows = [self._table.embed(step.token_ids, step.features) for step in steps]
        with self._text.running():
            for state, step, part in zip(states, steps, rows, strict=True):
                state.start(part, first_row=0 if step.logits == "all" else -1)
            return [state.finish() for state in states]


def _is_slow(*, held: int, new: int) -> bool:
    """Whether going on from the tokens held takes longer than reading all of them again."""
    return new * (held + new / 2) > FROM_NOTHING * (held + new)


def _outside(variable: str) -> str:
    """`text_model.layers.3.self_attn.keys` -> `3.keys`, as `KVArrays` names it."""
    *_, layer, _, side = variable.split(".")
    return f"{layer}.{side}"


def _own(state: KVState) -> OpenVINOState:
    assert isinstance(state, OpenVINOState), f"{type(state).__name__} is of another engine"
    return state
