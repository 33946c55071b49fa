"""The engine of our own kernels, for processors with matrix tiles: the fastest one on a CPU.

All new tokens of all conversations of a step go through the network together, so that weights are
read once for several answers, and several tokens behind a history cost no more than their share.
What is computed is written in `native/csrc`, packing in `native_weights.py`. An engine and its
conversations serve one thread at a time.

Letters: N tiles, S tile side, T visual tokens per tile, H text width, L new tokens, G key/value
heads, W width of one head, C slots of the cache.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import smolvlm
from smolvlm.config import ImageRules, ModelConfig
from smolvlm.engines.base import EngineInfo, KVArrays, KVState, Step
from smolvlm.engines.compiled_cache import digest, entry_for
from smolvlm.engines.native_weights import Tensors, open_decoder, open_tower
from smolvlm.engines.token_table import TokenTable
from smolvlm.errors import EngineError, UnknownNameError
from smolvlm.native.library import TILE_K, TILE_N, Segment, aligned, library, padded, pointer
from smolvlm.weights.reader import Checkpoint

PRECISIONS = ("bf16", "int8")
# Part of every key: raise it with every change of what is packed, or in which order.
PACKING_VERSION = 1
LANES, WIDEST_HEAD = 16, 256  # as in `simd.h` and `attention.h`
FIRST_SLOTS = 256  # of a cache; it doubles when it is full
# A larger part is packed at every start: its entry would take as much disk as the model.
MAX_CACHED_BYTES = 1024**3


def unfit(checkpoint: Checkpoint) -> str | None:
    """What keeps the kernels from running a checkpoint; None when nothing does."""
    text, vision = checkpoint.config.text, checkpoint.config.vision
    if any(checkpoint.bits(name) == 4 for name in checkpoint.names()):
        return "it has matrices of 4 bits, and the kernels hold 8 or 16"
    widths = (text.hidden_size, text.intermediate_size, vision.hidden_size)
    if any(width % LANES for width in widths):
        return f"its layers are {', '.join(map(str, widths))} wide; wanted multiples of {LANES}"
    if max(text.head_dim, vision.head_dim) > WIDEST_HEAD:
        return f"its heads are wider than {WIDEST_HEAD}"
    return None


class NativeState:
    """The keys and values of one conversation, bfloat16, in the order the kernels want them."""

    def __init__(self, config: ModelConfig) -> None:
        text = config.text
        self._heads, self._width = text.num_key_value_heads, text.head_dim
        self._filled = padded(text.head_dim, TILE_K)
        self._shape = (text.num_hidden_layers, text.num_key_value_heads)
        self.length = 0
        self.capacity = 0
        self.keys = self.values = self._empty(0)

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on."""
        assert 0 <= length <= self.length, f"{length} of {self.length} tokens cannot be kept"
        self.length = length

    def close(self) -> None:
        """Give the memory back."""
        self.keys = self.values = self._empty(0)
        self.capacity = -1

    def make_room(self, length: int) -> None:
        """Let the cache have slots for so many tokens."""
        assert self.capacity >= 0, "this conversation was closed"
        if length <= self.capacity:
            return
        capacity = max(FIRST_SLOTS, padded(length, FIRST_SLOTS), min(2 * self.capacity, 2 * length))
        for name in ("keys", "values"):
            grown, held = self._empty(capacity), getattr(self, name)
            grown[..., : held.shape[-1]] = held
            setattr(self, name, grown)
        self.capacity = capacity

    def export(self, length: int) -> KVArrays:
        """The keys and values of the first `length` tokens; see `PortableState`."""
        return {
            f"{layer}.{name}": _widened(held[:, :length, : self._width])
            for name, order in (("keys", self._in_keys), ("values", self._in_values))
            for layer, held in enumerate(order(getattr(self, name)))
        }

    def restore(self, arrays: KVArrays) -> None:
        """Put exported keys and values into this empty conversation."""
        assert self.length == 0, self.length
        length = arrays["0.keys"].shape[1]
        self.make_room(length)
        for name, order in (("keys", self._in_keys), ("values", self._in_values)):
            plain = np.zeros((*self._shape, self.capacity, self._filled), dtype=np.uint16)
            for layer in range(len(plain)):
                bits = np.ascontiguousarray(arrays[f"{layer}.{name}"]).view(np.uint32)
                plain[layer, :, :length, : self._width] = bits >> 16  # bfloat16 came out
            getattr(self, name)[:] = order(plain, back=True)
        self.length = length

    def _empty(self, capacity: int) -> NDArray[np.uint16]:
        return aligned((*self._shape, capacity * self._filled), np.uint16)

    def _in_keys(self, held: NDArray[np.uint16], *, back: bool = False) -> NDArray[np.uint16]:
        """Packed keys -> (layers, G, C, filled W), or back: 16 keys a tile, pairs of inputs."""
        tiles = (*self._shape, -1, self._filled // TILE_K, TILE_K // 2, TILE_N, 2)
        if back:
            plain = held.reshape(*self._shape, -1, TILE_N, *tiles[3:5], 2)
            return plain.transpose(0, 1, 2, 4, 5, 3, 6).reshape(*self._shape, -1)
        plain = held.reshape(tiles).transpose(0, 1, 2, 5, 3, 4, 6)
        return plain.reshape(*self._shape, -1, self._filled)

    def _in_values(self, held: NDArray[np.uint16], *, back: bool = False) -> NDArray[np.uint16]:
        """Packed values -> (layers, G, C, filled W), or back: 32 keys a tile, in pairs."""
        tiles = (*self._shape, -1, self._filled // TILE_N, TILE_K // 2, TILE_N, 2)
        if back:
            plain = held.reshape(*self._shape, -1, TILE_K // 2, 2, tiles[3], TILE_N)
            return plain.transpose(0, 1, 2, 5, 3, 6, 4).reshape(*self._shape, -1)
        plain = held.reshape(tiles).transpose(0, 1, 2, 4, 6, 3, 5)
        return plain.reshape(*self._shape, -1, self._filled)


class NativeEngine:
    """One checkpoint in our kernels; see `engines/base.py` for what its methods promise."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        rules: ImageRules,
        *,
        precision: str = "int8",
        threads: int | None = None,
    ) -> None:
        """Pack the weights, or take them from the cache.

        precision: "bf16", or "int8": the language model's matrices in 8 bits, a scale for every 64
        inputs of an output; the rest is bfloat16 in both. What a folder of 8 bits has rounded by
        rows is rounded once more, by finer steps. threads: None for all processors this process may
        use. `EngineError` when the kernels cannot be built, `CacheError` when the cache cannot be
        written.
        """
        if precision not in PRECISIONS:
            raise UnknownNameError(
                f"the native engine has no precision {precision!r}; it has {', '.join(PRECISIONS)}"
            )
        if (reason := unfit(checkpoint)) is not None:
            raise EngineError(f"the native engine cannot run {checkpoint.folder}: {reason}")
        self._checkpoint, self._precision = checkpoint, precision
        self._threads = threads or len(os.sched_getaffinity(0))
        self._library = library()
        key = digest(PACKING_VERSION, checkpoint.fingerprint, rules)[:16]
        self._tower, self._tower_memory = self._open("tower", f"{key}", rules)
        self._decoder, self._decoder_memory = self._open(f"text-{precision}", key, rules)
        self._table = TokenTable(checkpoint)

    def _open(self, part: str, key: str, rules: ImageRules) -> tuple[int, list[Any]]:
        """A part of the network, and what it points into; a cache entry is used, or made."""

        def opened(stored: NDArray[np.uint8] | None) -> tuple[int, list[Any], Tensors]:
            tensors = Tensors(self._checkpoint, stored)
            if part == "tower":
                return *open_tower(tensors, rules), tensors
            return *open_decoder(tensors, codes=self._precision == "int8"), tensors

        entry = entry_for(self._checkpoint.folder, f"native-{part}", key)
        try:
            held = entry.open()
        except ValueError:  # damaged: packed anew
            held = None
        if held is None:
            address, memory, tensors = opened(None)
            if tensors.nbytes > MAX_CACHED_BYTES:
                return address, memory
            self._close(part, address)
            entry.store(*tensors.parts())
            held = entry.open()
            assert held is not None
        address, memory, _ = opened(held.blob)
        return address, memory

    def _close(self, part: str, address: int) -> None:
        if part == "tower":
            self._library.smolvlm_close_tower(address)
        else:
            self._library.smolvlm_close_decoder(address)

    def __del__(self) -> None:
        for part in ("tower", "decoder"):  # neither is there when opening failed
            if hasattr(self, f"_{part}"):
                self._close(part, getattr(self, f"_{part}"))

    @property
    def config(self) -> ModelConfig:
        """The checkpoint's config."""
        return self._checkpoint.config

    def describe(self) -> EngineInfo:
        """Name, device, precision and library version."""
        version = f"smolvlm {smolvlm.__version__}"
        return EngineInfo("native", "cpu", self._precision, version, self._threads)

    def encode_tiles(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Tiles uint8 (N, S, S, 3) -> visual tokens float32 (N, T, H)."""
        config = self.config
        tiles = np.ascontiguousarray(tiles)
        shape = (len(tiles), config.tokens_per_tile, config.text.hidden_size)
        features = np.empty(shape, dtype=np.float32)
        self._library.smolvlm_encode(
            self._tower, pointer(tiles), len(tiles), pointer(features), self._threads
        )
        return features

    def open_state(self) -> KVState:
        """An empty conversation."""
        return NativeState(self.config)

    def step(self, steps: Sequence[Step]) -> list[NDArray[np.float32]]:
        """Advance each conversation; float32 (1, V) or (L, V) for each.

        ValueError, before any conversation changed, when the rows of `features` and the `<image>`
        ids disagree.
        """
        assert len({id(step.state) for step in steps}) == len(steps), "a state appears twice"
        rows = [self._table.embed(step.token_ids, step.features) for step in steps]
        wanted = [
            len(part) if step.logits == "all" else 1 for step, part in zip(steps, rows, strict=True)
        ]
        segments = (Segment * len(steps))(
            *(_segment(step, want) for step, want in zip(steps, wanted, strict=True))
        )
        logits = np.empty((sum(wanted), self.config.text.vocab_size), dtype=np.float32)
        together = np.ascontiguousarray(np.concatenate(rows))  # (all L, H)
        self._library.smolvlm_decode(
            self._decoder, segments, len(steps), pointer(together), pointer(logits), self._threads
        )
        for step, part in zip(steps, rows, strict=True):
            _own(step.state).length += len(part)
        return np.split(logits, np.cumsum(wanted)[:-1])


def _segment(step: Step, wanted: int) -> Segment:
    state, count = _own(step.state), len(step.token_ids)
    state.make_room(state.length + count)
    return Segment(
        pointer(state.keys),
        pointer(state.values),
        state.capacity,
        state.length,
        count,
        count - wanted,
    )


def _widened(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    return np.ascontiguousarray(bits.astype(np.uint32) << 16).view(np.float32)


def _own(state: KVState) -> NativeState:
    assert isinstance(state, NativeState), f"{type(state).__name__} is of another engine"
    return state
