"""The PyTorch engine: `model/` behind the `Engine` protocol, on a CPU or a CUDA device.

The readable engine, which the faster ones are compared with, and the way to run on CUDA.
Conversations that each bring one token (decoding) go through the network together in one padded
pass; every other step (a prompt, a draft to check) goes alone, because its matrices are large
enough already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from smolvlm.config import ImageRules, ModelConfig
from smolvlm.engines.base import EngineInfo, KVArrays, KVState, Step
from smolvlm.errors import EngineError, UnknownNameError
from smolvlm.model.cache import Cache, JoinedCache, KVCache
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.pixels import normalize
from smolvlm.weights.reader import Checkpoint

PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}
# Tiles in one pass of the tower. A CPU gains nothing from more than one; a GPU is not full with
# few.
TILES_PER_PASS = {"cpu": 1, "cuda": 16}


class TorchState:
    """The keys and values of one conversation."""

    def __init__(self, cache: KVCache) -> None:
        self._cache: KVCache | None = cache

    @property
    def cache(self) -> KVCache:
        """The tensors, until `close`."""
        assert self._cache is not None, "this conversation was closed"
        return self._cache

    @property
    def length(self) -> int:
        """Tokens held so far."""
        return self.cache.lengths[0]

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on."""
        self.cache.truncate(length)

    def export(self, length: int) -> KVArrays:
        """The keys and values of the first `length` tokens; see `PortableState`."""
        names = ("keys", "values")
        return {
            f"{layer}.{name}": _to_numpy(held[0])  # (1, G, L, W) -> (G, L, W)
            for layer, pair in enumerate(self.cache.held(length))
            for name, held in zip(names, pair, strict=True)
        }

    def restore(self, arrays: KVArrays) -> None:
        """Put exported keys and values into this empty conversation."""
        assert self.length == 0, self.length
        for layer in range(len(arrays) // 2):
            pair = (torch.from_numpy(arrays[f"{layer}.{name}"]) for name in ("keys", "values"))
            self.cache.append(layer, *(side[None] for side in pair))  # (G, L, W) -> (1, G, L, W)
        self.cache.advance(arrays["0.keys"].shape[1])

    def close(self) -> None:
        """Give the memory back."""
        self._cache = None


class TorchEngine:
    """One checkpoint in PyTorch; see `engines/base.py` for what its methods promise."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        rules: ImageRules,
        *,
        device: str = "cpu",
        precision: str = "f32",
        threads: int | None = None,
    ) -> None:
        """Load the weights onto `device` ("cpu", "cuda", "cuda:1") in `precision` ("f32", "bf16").

        threads: CPU threads of the whole process; None leaves PyTorch's choice. `EngineError` when
        the device is not there.
        """
        self._device = _device(device)
        if precision not in PRECISIONS:
            raise UnknownNameError(
                f"the torch engine has no precision {precision!r}; it has {', '.join(PRECISIONS)}"
            )
        if threads is not None:
            torch.set_num_threads(threads)
        self._precision = precision
        self._rules = rules
        self.model = SmolVLM.from_checkpoint(checkpoint, PRECISIONS[precision]).to(self._device)

    @property
    def config(self) -> ModelConfig:
        """The checkpoint's config."""
        return self.model.config

    def describe(self) -> EngineInfo:
        """Name, device, precision and library version."""
        cuda = self._device.type == "cuda"
        return EngineInfo(
            name="torch",
            device=torch.cuda.get_device_name(self._device) if cuda else "cpu",
            precision=self._precision,
            library=f"torch {torch.__version__}",
            threads=torch.get_num_threads(),
        )

    @torch.inference_mode()
    def encode_tiles(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Tiles uint8 (N, S, S, 3) -> visual tokens float32 (N, T, H)."""
        config = self.config
        features = np.empty(
            (len(tiles), config.tokens_per_tile, config.text.hidden_size), dtype=np.float32
        )
        size = TILES_PER_PASS[self._device.type]
        for start in range(0, len(tiles), size):
            pixels = torch.from_numpy(normalize(tiles[start : start + size], self._rules))
            features[start : start + size] = _to_numpy(
                self.model.encode_tiles(pixels.to(self._device))  # (n, 3, S, S) -> (n, T, H)
            )
        return features

    def open_state(self) -> KVState:
        """An empty conversation."""
        return TorchState(KVCache(self.config.text, dtype=self.model.dtype, device=self._device))

    @torch.inference_mode()
    def step(self, steps: Sequence[Step]) -> list[NDArray[np.float32]]:
        """Advance each conversation; float32 (1, V) or (L, V) for each.

        ValueError, before any conversation changed, when the rows of `features` and the `<image>`
        ids disagree.
        """
        assert len({id(step.state) for step in steps}) == len(steps), "a state appears twice"
        for step in steps:
            self._check(step)
        single = [i for i, step in enumerate(steps) if len(step.token_ids) == 1]
        joined = single if len(single) > 1 else []
        logits: dict[int, NDArray[np.float32]] = {}
        if joined:
            rows = self._step_together([steps[i] for i in joined])  # (B, 1, V)
            logits.update(zip(joined, rows, strict=True))
        for i, step in enumerate(steps):
            if i not in logits:
                logits[i] = self._step_alone(step)
        return [logits[i] for i in range(len(steps))]

    def _check(self, step: Step) -> None:
        wanted = int((step.token_ids == self.config.image_token_id).sum())
        given = 0 if step.features is None else len(step.features)
        if wanted != given:
            raise ValueError(
                f"the step has {wanted} <image> tokens but {given} visual tokens were given"
            )

    def _step_together(self, steps: Sequence[Step]) -> NDArray[np.float32]:
        """One token each: (B, 1, V)."""
        ids = np.stack([step.token_ids for step in steps])  # (B, 1)
        features = [step.features for step in steps if step.features is not None]
        return self._forward(
            ids,
            np.concatenate(features) if features else None,  # (K, H)
            JoinedCache([_cache(step.state) for step in steps]),
            last_only=False,
        )

    def _step_alone(self, step: Step) -> NDArray[np.float32]:
        """Any number of tokens of one conversation: (1, V) or (L, V)."""
        rows: NDArray[np.float32] = self._forward(
            step.token_ids[None],  # (1, L)
            step.features,
            _cache(step.state),
            last_only=step.logits == "last",
        )[0]  # (1, rows, V) -> (rows, V)
        return rows

    def _forward(
        self,
        ids: NDArray[np.int64],
        features: NDArray[np.float32] | None,
        cache: Cache,
        *,
        last_only: bool,
    ) -> NDArray[np.float32]:
        logits = self.model(
            torch.tensor(ids, device=self._device),
            features=None if features is None else torch.tensor(features, device=self._device),
            cache=cache,
            last_only=last_only,
        )  # (B, rows, V)
        return _to_numpy(logits)


def _cache(state: KVState) -> KVCache:
    assert isinstance(state, TorchState), f"{type(state).__name__} is the state of another engine"
    return state.cache


def _device(name: str) -> torch.device:
    """A device of this machine; `EngineError` says why not."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in TILES_PER_PASS:
        raise EngineError(f"the torch engine knows no device {name!r}; use cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(
            f"device {name!r} is not there: PyTorch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices; use cpu"
        )
    return device


def _to_numpy(x: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = x.float().cpu().numpy()
    return array
