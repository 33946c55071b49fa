"""The engines of `peers.py`: this package, the published class in PyTorch, ONNX Runtime,
and the IR of optimum-intel.

Each does the same three things in its fastest form: features of tiles that are decoded already, the
first token after a prompt, and one token more. Libraries are imported when their engine is opened.
What is timed is `peer_figures.py`'s business.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_folder import ONNX, OPTIMUM
from smolvlm.config import ModelConfig
from smolvlm.weights.reader import open_checkpoint

Ids = NDArray[np.int64]
Features = NDArray[np.float32]
MOST_POSITIONS = 1536  # that ONNX Runtime keeps room for


class Peer(Protocol):
    """What every engine can do. Letters: n tiles, T visual tokens per tile, H text width."""

    def tiles(self, pixels: NDArray[np.uint8]) -> Any:
        """Tiles uint8 (n, S, S, 3) as the engine wants them; not timed."""
        ...

    def vision(self, tiles: Any) -> Features:
        """The features of tiles, float32 (n * T, H)."""
        ...

    def prefill(self, ids: Ids, features: Features | None) -> int:
        """Forget everything, read a prompt (L,), say the likeliest next token."""
        ...

    def step(self, token: int) -> int:
        """Read one token more, say the next."""
        ...


class Ours:
    """An engine of this package, in one precision."""

    def __init__(self, folder: Path, engine: str | None, precision: str) -> None:
        from smolvlm.config import ImageRules
        from smolvlm.engines.choose import create_engine

        self._engine = create_engine(
            open_checkpoint(folder),
            ImageRules.from_folder(folder),
            engine=engine,
            precision=precision,
        )
        self._state = self._engine.open_state()

    def tiles(self, pixels: NDArray[np.uint8]) -> Any:
        """As they are, or normalised."""
        return pixels

    def vision(self, tiles: Any) -> Features:
        """Features of tiles (n * T, H)."""
        features = self._engine.encode_tiles(tiles)  # (n, T, H)
        return features.reshape(-1, features.shape[-1])

    def prefill(self, ids: Ids, features: Features | None) -> int:
        """Read a prompt (L,) from nothing."""
        self._state.close()
        self._state = self._engine.open_state()
        return self._read(ids, features)

    def step(self, token: int) -> int:
        """Read one token more."""
        return self._read(np.array([token]), None)

    def again(self, held: int, ids: Ids) -> int:
        """Another question about what was read: keep `held` positions, read the rest (L,)."""
        self._state.truncate(held)
        return self._read(ids, None)

    def _read(self, ids: Ids, features: Features | None) -> int:
        from smolvlm.engines.base import Step

        [logits] = self._engine.step([Step(self._state, ids, features)])
        return int(logits[-1].argmax())


class Transformers:
    """The published class in PyTorch, eager, with its own attention kernel."""

    def __init__(self, folder: Path, dtype: str) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, DynamicCache

        torch.set_grad_enabled(False)
        self._torch, self._new_cache = torch, DynamicCache
        self._dtype = getattr(torch, dtype)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=self._dtype, attn_implementation="sdpa"
        )
        self._model = loaded.eval()
        self._image = self._model.config.image_token_id
        self._cache: Any = None

    def tiles(self, pixels: NDArray[np.uint8]) -> Any:
        """As they are, or normalised."""
        return self._torch.from_numpy(normalised(pixels))[None].to(self._dtype)  # (1, n, 3, S, S)

    def vision(self, tiles: Any) -> Any:
        """Features of tiles (n * T, H)."""
        seen = self._model.model.get_image_features(pixel_values=tiles).pooler_output
        return self._torch.cat(list(seen))  # (n * T, H)

    def prefill(self, ids: Ids, features: Any) -> int:
        """Read a prompt (L,) from nothing."""
        self._cache = self._new_cache(config=self._model.config.text_config)
        tokens = self._torch.from_numpy(ids)[None]  # (1, L)
        rows = self._model.get_input_embeddings()(tokens)  # (1, L, H)
        if features is not None:
            rows[tokens == self._image] = features.to(rows.dtype)
        return self._read(rows)

    def step(self, token: int) -> int:
        """Read one token more."""
        return self._read(self._model.get_input_embeddings()(self._torch.tensor([[token]])))

    def _read(self, rows: Any) -> int:
        said = self._model.model.text_model(
            inputs_embeds=rows, past_key_values=self._cache, use_cache=True
        )
        return int(self._model.lm_head(said.last_hidden_state[:, -1]).argmax())


class ByRows:
    """Reads rows of embeddings behind those it has read: exports leave the token table out."""

    _table: Rows
    _length: int

    def prefill(self, ids: Ids, features: Features | None) -> int:
        """Read a prompt (L,) from nothing."""
        self._length = 0
        return self._read(self._table.embed(ids, features))

    def step(self, token: int) -> int:
        """Read one token more."""
        return self._read(self._table.embed(np.array([token]), None))

    def _read(self, rows: Features) -> int:
        raise NotImplementedError


class OnnxRuntime(ByRows):
    """ONNX Runtime on the files of `peer_folder --onnx`: in 8 bits."""

    def __init__(self, folder: Path) -> None:
        # By name, because it is none of the packages of this project.
        onnxruntime: Any = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        options.log_severity_level = 3
        kind = ["CPUExecutionProvider"]
        files = folder / ONNX / "vision.onnx", folder / ONNX / "text" / "model.onnx"
        self._vision, self._text = (
            onnxruntime.InferenceSession(str(file), options, providers=kind) for file in files
        )
        config = ModelConfig.from_folder(folder)
        self._table = Rows(folder)
        text = config.text
        shape = (1, text.num_key_value_heads, MOST_POSITIONS, text.head_dim)
        names = [entry.name for entry in self._text.get_inputs()]
        self._past = [name for name in names if name.startswith("past")]
        self._places = "position_ids" in names
        self._held = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
            for name in self._past
        }
        self._length = 0

    def tiles(self, pixels: NDArray[np.uint8]) -> Any:
        """As they are, or normalised."""
        return normalised(pixels)

    def vision(self, tiles: Any) -> Features:
        """Features of tiles (n * T, H)."""
        features: Features = self._vision.run(None, {"pixels": tiles})[0]  # (n, T, H)
        return features.reshape(-1, features.shape[-1])

    def _read(self, rows: Features) -> int:
        start, self._length = self._length, self._length + len(rows)
        bound = self._text.io_binding()
        bound.bind_cpu_input("inputs_embeds", rows[None])
        bound.bind_cpu_input("attention_mask", np.ones((1, self._length), np.int64))
        if self._places:
            bound.bind_cpu_input("position_ids", np.arange(start, self._length)[None])
        for name, held in self._held.items():  # the new keys and values go where the old ones are
            bound.bind_ortvalue_input(name, held)
            bound.bind_ortvalue_output(name.replace("past_key_values", "present"), held)
        bound.bind_output("logits")
        self._text.run_with_iobinding(bound)
        return int(bound.get_outputs()[-1].numpy()[0, -1].argmax())


class Optimum(ByRows):
    """The IR that optimum-intel exports, on the same OpenVINO, as it runs by default."""

    def __init__(self, folder: Path) -> None:
        import openvino as ov

        core, home = ov.Core(), folder / OPTIMUM
        chosen = {"PERFORMANCE_HINT": "LATENCY"}
        self._vision, self._text = (
            core.compile_model(home / f"openvino_{part}_model.xml", "CPU", chosen)
            for part in ("vision_embeddings", "language")
        )
        self._request = self._text.create_infer_request()
        self._table = Rows(folder)
        self._grid = ModelConfig.from_folder(folder).vision.grid
        self._length = 0

    def tiles(self, pixels: NDArray[np.uint8]) -> Any:
        """Normalised, with the mask and the places of its patches."""
        count, grid = len(pixels), self._grid
        return {
            "pixel_values": normalised(pixels),
            "patch_attention_mask": np.ones((count, grid, grid), np.bool_),
            "patch_position_ids": np.tile(np.arange(grid * grid), (count, 1)),
        }

    def vision(self, tiles: Any) -> Features:
        """Features of tiles (n * T, H)."""
        features: Features = self._vision(tiles)[0]  # (n, T, H)
        return features.reshape(-1, features.shape[-1])

    def prefill(self, ids: Ids, features: Features | None) -> int:
        """Read a prompt (L,) from nothing."""
        self._request.reset_state()
        return super().prefill(ids, features)

    def _read(self, rows: Features) -> int:
        start, self._length = self._length, self._length + len(rows)
        said = self._request.infer({
            "inputs_embeds": rows[None],
            "attention_mask": np.ones((1, self._length), np.int64),
            "position_ids": np.arange(start, self._length)[None],
            "beam_idx": np.zeros(1, np.int32),
        })  # fmt: skip
        return int(said["logits"][0, -1].argmax())


class Rows:
    """The token table of a folder, for engines that take embeddings."""

    def __init__(self, folder: Path) -> None:
        from smolvlm.engines.token_table import TokenTable

        self._table = TokenTable(open_checkpoint(folder))

    def embed(self, ids: Ids, features: Features | None) -> Features:
        """Rows float32 (L, H), features in the place of `<image>` ids."""
        return self._table.embed(ids, features)


def normalised(pixels: NDArray[np.uint8]) -> Features:
    """Tiles uint8 (n, S, S, 3) -> float32 (n, 3, S, S) from -1 to 1."""
    scaled = pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def open_peer(name: str, folder: Path) -> Peer:
    """An engine by its name: `smolvlm[-ENGINE]-PRECISION`, `transformers-DTYPE` and so on."""
    library, _, kind = name.partition("-")
    if library == "smolvlm":
        engine, _, precision = kind.rpartition("-")
        return Ours(folder, engine or None, precision)
    if library == "transformers":
        return Transformers(folder, {"bf16": "bfloat16", "f32": "float32"}[kind])
    if name == "onnxruntime-int8":
        return OnnxRuntime(folder)
    if name == "optimum-bf16":
        return Optimum(folder)
    raise KeyError(f"there is no engine {name}")
