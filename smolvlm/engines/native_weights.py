"""A checkpoint's weights in the order of the compiled kernels, and the structs that point at them.

`Tensors` hands out arrays in a fixed order: the first time they are packed from the checkpoint and
kept as one cache entry, afterwards they are views of that file, mapped. So a later start reads
nothing it does not use, and the order of the calls below is the only description of the file.

Letters: D tower width, H text width, W width of one head.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ImageRules, ModelConfig
from smolvlm.engines.folded_pixels import EMBEDDINGS, fold_pixels
from smolvlm.native.library import (
    GROUP,
    LINE,
    PANEL,
    TILE_K,
    TILE_N,
    DecoderLayer,
    DecoderShape,
    Matrix,
    TowerLayer,
    TowerShape,
    aligned,
    library,
    pack,
    pack_codes,
    padded,
    pointer,
)
from smolvlm.weights.reader import Checkpoint


class Tensors:
    """Packed arrays in a fixed order, from the checkpoint or from what was packed before."""

    def __init__(self, checkpoint: Checkpoint, stored: NDArray[np.uint8] | None) -> None:
        self.checkpoint = checkpoint
        self._stored = stored
        self._at = 0
        self._kept: list[NDArray[Any]] = []

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        return sum(padded(array.nbytes, LINE) for array in self._kept)

    def parts(self) -> Iterator[NDArray[np.uint8]]:
        """All arrays in their order, each filled up to a line: uint8, as one file holds them."""
        for array in self._kept:
            yield array.reshape(-1).view(np.uint8)
            yield np.zeros(-array.nbytes % LINE, dtype=np.uint8)

    def floats(self, values: Iterable[NDArray[np.float32]], size: int) -> NDArray[np.float32]:
        """Float32 vectors behind one another, filled up with zeros to `size`."""
        return self._keep(lambda: _filled(values, size), size, np.float32)

    def matrix(
        self, rows: int, columns: int, make: Any, *, codes: bool, bias: int | None
    ) -> Matrix:
        """A matrix (rows, columns) that `make` gives as float32, packed; bias: its address."""
        count = padded(rows, PANEL) * padded(columns, GROUP)
        wide = values = scales = None
        if codes:
            made: list[Any] = [] if self._stored is not None else [*pack_codes(make())]
            values = self._keep(lambda: made[0], count, np.int8)
            scales = self._keep(lambda: made[1], count // GROUP, np.float16)
        else:
            wide = self._keep(lambda: pack(make()), count, np.uint16)
        n, k = padded(rows, PANEL), padded(columns, GROUP)
        return Matrix(n, k, pointer(wide), pointer(values), pointer(scales), bias)

    def _keep(self, make: Any, size: int, kind: Any) -> NDArray[Any]:
        array: NDArray[Any]
        if self._stored is None:
            array = make()
        else:
            array = self._stored[self._at : self._at + size * np.dtype(kind).itemsize].view(kind)
            self._at += padded(array.nbytes, LINE)
        assert array.size == size, (array.size, size)
        self._kept.append(array)
        return array


def _filled(values: Iterable[NDArray[np.float32]], size: int) -> NDArray[np.float32]:
    whole = aligned((size,), np.float32)
    flat = np.concatenate([value.reshape(-1) for value in values])
    whole[: len(flat)] = flat
    return whole


def open_tower(tensors: Tensors, rules: ImageRules) -> tuple[int, list[Any]]:
    """The address of a `Tower`, and what has to live as long as it."""
    config, f32 = tensors.checkpoint.config, tensors.checkpoint.f32
    vision, width = config.vision, config.vision.hidden_size
    side, columns = vision.patch_size, vision.num_channels * vision.patch_size**2

    def folded() -> tuple[NDArray[np.float32], ...]:
        return fold_pixels(f32(f"{EMBEDDINGS}.patch_embedding.weight"), rules)

    def positions() -> Iterable[NDArray[np.float32]]:
        shift = folded()[2] + f32(f"{EMBEDDINGS}.patch_embedding.bias")  # (D,)
        yield f32(f"{EMBEDDINGS}.position_embedding.weight") + shift  # (P, D)

    def patches() -> NDArray[np.float32]:
        return folded()[1].transpose(0, 2, 3, 1).reshape(width, columns)  # (D, 3, p, p)

    centre = tensors.floats((folded()[0],), LINE)
    places = tensors.floats(positions(), vision.num_patches * width)
    embed = tensors.matrix(width, columns, patches, codes=False, bias=None)
    layers = (TowerLayer * vision.num_hidden_layers)(
        *(
            _tower_layer(tensors, f"vision_model.encoder.layers.{i}")
            for i in range(vision.num_hidden_layers)
        )
    )
    norm = [
        tensors.floats((f32(f"vision_model.post_layernorm.{n}"),), width)
        for n in ("weight", "bias")
    ]
    projection = tensors.matrix(
        config.text.hidden_size,
        config.connector_width,
        lambda: f32("connector.modality_projection.proj.weight"),
        codes=False,
        bias=None,
    )
    shape = TowerShape(
        vision.image_size, side, vision.grid, width, vision.num_attention_heads,
        vision.num_hidden_layers, vision.intermediate_size, config.scale_factor,
        config.text.hidden_size, vision.layer_norm_eps,
    )  # fmt: skip
    address = library().smolvlm_tower(
        shape, pointer(centre), pointer(places), embed, layers, *map(pointer, norm), projection
    )
    return address, [tensors, layers]


def _tower_layer(tensors: Tensors, at: str) -> TowerLayer:
    config, f32 = tensors.checkpoint.config.vision, tensors.checkpoint.f32
    width, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    filled = padded(config.head_dim, TILE_K)

    def vector(name: str) -> int | None:
        return pointer(
            tensors.floats((f32(f"{at}.{name}"),), padded(len(f32(f"{at}.{name}")), PANEL))
        )

    def wide_heads(kind: str) -> NDArray[np.float32]:
        """Queries, keys and values, every head filled up with zeros: (3 * heads * filled, ...)."""
        parts = []
        for side in "qkv":
            own = f32(f"{at}.self_attn.{side}_proj.{kind}")
            own = own.reshape(heads, config.head_dim, -1)
            parts.append(np.pad(own, ((0, 0), (0, filled - config.head_dim), (0, 0))))
        return np.ascontiguousarray(np.concatenate(parts).reshape(3 * heads * filled, -1))

    def matrix(name: str, rows: int, columns: int) -> Matrix:
        bias = vector(f"{name}.bias")
        return tensors.matrix(
            rows, columns, lambda: f32(f"{at}.{name}.weight"), codes=False, bias=bias
        )

    norms = [vector(f"layer_norm{n}.{kind}") for n in (1, 2) for kind in ("weight", "bias")]
    rows = 3 * heads * filled
    bias = pointer(tensors.floats((wide_heads("bias"),), rows))
    qkv = tensors.matrix(rows, width, lambda: wide_heads("weight"), codes=False, bias=bias)
    return TowerLayer(
        *norms,
        qkv,
        matrix("self_attn.out_proj", width, width),
        matrix("mlp.fc1", inner, width),
        matrix("mlp.fc2", width, inner),
    )


def open_decoder(tensors: Tensors, *, codes: bool) -> tuple[int, list[Any]]:
    """The address of a `Decoder`, and what has to live as long as it."""
    checkpoint = tensors.checkpoint
    config, f32 = checkpoint.config, checkpoint.f32
    text = config.text
    width = text.hidden_size
    layers = (DecoderLayer * text.num_hidden_layers)(
        *(
            _decoder_layer(tensors, f"text_model.layers.{i}", codes)
            for i in range(text.num_hidden_layers)
        )
    )
    norm = tensors.floats((f32("text_model.norm.weight"),), padded(width, PANEL))
    head = tensors.matrix(
        text.vocab_size, width, lambda: f32(checkpoint.head_name), codes=codes, bias=None
    )
    cosines, sines = _rotary(config)
    shape = DecoderShape(
        width, text.num_attention_heads, text.num_key_value_heads, text.head_dim,
        text.num_hidden_layers, text.intermediate_size, text.vocab_size, text.rms_norm_eps,
    )  # fmt: skip
    address = library().smolvlm_decoder(
        shape, pointer(cosines), pointer(sines), layers, pointer(norm), head
    )
    return address, [tensors, layers, cosines, sines]


def _decoder_layer(tensors: Tensors, at: str, codes: bool) -> DecoderLayer:
    text, f32 = tensors.checkpoint.config.text, tensors.checkpoint.f32
    width, inner = text.hidden_size, text.intermediate_size
    heads, kv_heads = text.num_attention_heads, text.num_key_value_heads

    def norm(name: str) -> int | None:
        return pointer(tensors.floats((f32(f"{at}.{name}.weight"),), padded(width, PANEL)))

    def stacked() -> NDArray[np.float32]:
        return np.concatenate([f32(f"{at}.self_attn.{side}_proj.weight") for side in "qkv"])

    def paired() -> NDArray[np.float32]:
        """16 rows of the gate, 16 of the other half, and so on: (2 * inner, H)."""
        sides = [
            f32(f"{at}.mlp.{name}_proj.weight").reshape(-1, 1, TILE_N, width)
            for name in ("gate", "up")
        ]
        return np.concatenate(sides, axis=1).reshape(2 * inner, width)

    def matrix(rows: int, columns: int, make: Any) -> Matrix:
        return tensors.matrix(rows, columns, make, codes=codes, bias=None)

    norms = norm("input_layernorm"), norm("post_attention_layernorm")
    every = heads * text.head_dim
    return DecoderLayer(
        *norms,
        matrix(every + 2 * kv_heads * text.head_dim, width, stacked),
        matrix(width, every, lambda: f32(f"{at}.self_attn.o_proj.weight")),
        matrix(2 * inner, width, paired),
        matrix(width, inner, lambda: f32(f"{at}.mlp.down_proj.weight")),
    )


def _rotary(config: ModelConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines of every position: float32 (positions, W / 2) each, angles in float32."""
    text = config.text
    exponents = np.arange(0, text.head_dim, 2, dtype=np.float32) / np.float32(text.head_dim)
    frequencies = (1.0 / np.float32(text.rope_theta) ** exponents).astype(np.float32)  # (W / 2,)
    angles = np.arange(text.max_position_embeddings, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)
