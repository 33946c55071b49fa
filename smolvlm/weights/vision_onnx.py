"""Turn a DINOv2 backbone stored as ONNX into the SigLIP form that SmolVLM's vision tower has.

The two networks differ in five places, and each is rewritten here:

- DINOv2 scales the output of attention and MLP per channel (LayerScale): multiplied into the
  rows of the last linear layer. Exact.
- DINOv2 wants pixels with ImageNet mean and standard deviation, SmolVLM gives x = pixel/127.5 - 1:
  multiplied and added into the patch convolution. Exact, since that convolution has no padding.
- DINOv2 has a class token: dropped, with its position. Patches no longer attend to it.
- The position table is resampled to the tile's patch grid (bicubic with antialias).
- DINOv2 computes GELU with erf, SmolVLM with tanh: nothing to rewrite, they differ by under 1e-3.

OpenVINO reads the ONNX file (it is installed anyway); weights are found by the names of the
operations that use them, which the exporter took from the module paths of the published class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smolvlm.errors import CheckpointError

Floats = NDArray[np.float32]

# The normalisation DINOv2 was trained with, per RGB channel, on pixels of 0..1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Module path under a DINOv2 layer -> our name under a SigLIP layer.
_LINEARS = {
    "attention.attention.query": "self_attn.q_proj",
    "attention.attention.key": "self_attn.k_proj",
    "attention.attention.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_NORMS = {"norm1": "layer_norm1", "norm2": "layer_norm2"}
# The linear layer whose output a LayerScale multiplies.
_SCALED = {"attention.output.dense": "layer_scale1", "mlp.fc2": "layer_scale2"}
_PATCH = "embeddings.patch_embeddings.projection"
_CLASS = "embeddings.cls_token"
_POSITIONS = "embeddings.position_embeddings"


@dataclass(frozen=True)
class _Graph:
    """The operations of an ONNX file by name."""

    path: Path
    operations: Mapping[str, Any]

    def constant(self, name: str) -> Floats:
        """A weight that kept its own name."""
        if name not in self.operations:
            raise CheckpointError(f"{self.path} has no {name}; wanted a DINOv2 backbone")
        data = np.asarray(self.operations[name].data, dtype=np.float32)
        return data.copy()

    def operand(self, operation: str) -> Floats:
        """The constant that the named operation reads."""
        if operation not in self.operations:
            raise CheckpointError(f"{self.path} has no {operation}; wanted a DINOv2 backbone")
        sources = [i.get_source_output().get_node() for i in self.operations[operation].inputs()]
        constants = [s for s in sources if s.get_type_name() == "Constant"]
        if not constants:
            raise CheckpointError(f"{self.path}: {operation} reads no weight; wanted DINOv2")
        return np.asarray(constants[0].data, dtype=np.float32).copy()


def read_backbone(path: Path) -> dict[str, Floats]:
    """The weights of the DINOv2 backbone under the names of its published class, float32.

    Linear weights are (out, in); `embeddings.position_embeddings` is (1, 1 + patches, D).
    `CheckpointError` when the file cannot be read or holds something else.
    """
    graph = _open(path)
    weights = {
        name: graph.constant(f"backbone.{name}")
        for name in (
            _CLASS, f"{_PATCH}.weight", f"{_PATCH}.bias", "layernorm.weight", "layernorm.bias",
        )
    }  # fmt: skip
    # The exporter split the table into class row and patch rows before resizing the latter.
    class_row = graph.operand("/backbone/embeddings/Concat_6")
    patch_rows = graph.operand("/backbone/embeddings/Reshape_1")
    weights[_POSITIONS] = np.concatenate([class_row, patch_rows], axis=1)  # (1, 1 + patches, D)
    layer = 0
    while f"backbone.encoder.layer.{layer}.norm1.weight" in graph.operations:
        weights.update(_read_layer(graph, f"encoder.layer.{layer}"))
        layer += 1
    return weights


def to_siglip(backbone: Mapping[str, Floats], grid: int) -> dict[str, Floats]:
    """Rewrite DINOv2 weights for a tile of grid * grid patches; our names, float32."""
    positions = backbone[_POSITIONS][0, 1:]  # (patches, D), without the class token
    weight, bias = fold_pixels(backbone[f"{_PATCH}.weight"], backbone[f"{_PATCH}.bias"])
    embeddings = "vision_model.embeddings"
    tensors = {
        f"{embeddings}.patch_embedding.weight": weight,
        f"{embeddings}.patch_embedding.bias": bias,
        f"{embeddings}.position_embedding.weight": resample_positions(positions, grid),
    }
    layer = 0
    while f"encoder.layer.{layer}.norm1.weight" in backbone:
        ours, theirs = f"vision_model.encoder.layers.{layer}.", f"encoder.layer.{layer}."
        tensors |= {ours + name: value for name, value in _fold_layer(backbone, theirs).items()}
        layer += 1
    for kind in ("weight", "bias"):
        tensors[f"vision_model.post_layernorm.{kind}"] = backbone[f"layernorm.{kind}"]
    return tensors


def vision_tensors(path: Path, grid: int) -> dict[str, Floats]:
    """The vision tower of an ONNX file in SigLIP form: our name → float32."""
    return to_siglip(read_backbone(path), grid)


def fold_pixels(weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Patch convolution (D, 3, P, P) and bias (D,) for x = pixel/127.5 - 1 instead of ImageNet's.

    ImageNet's y = ((x + 1)/2 - mean)/std = x/(2 std) + (0.5 - mean)/std, a scale and a shift per
    channel.
    """
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    wide = weight.astype(np.float64)
    scaled = wide / (2 * std)[:, None, None]  # (D, 3, P, P)
    shift = wide.sum(axis=(2, 3)) @ ((0.5 - mean) / std)  # (D,)
    return scaled.astype(np.float32), (bias + shift).astype(np.float32)


def resample_positions(positions: Floats, grid: int) -> Floats:
    """Resize a square position table (n * n, D) to (grid * grid, D), bicubic with antialias."""
    side, width = isqrt(len(positions)), positions.shape[1]
    if side == grid:
        return positions.copy()
    planes = positions.reshape(side, side, width).transpose(2, 0, 1)  # (D, n, n)
    pictures = [Image.fromarray(np.ascontiguousarray(plane)) for plane in planes]
    resized = [picture.resize((grid, grid), Image.Resampling.BICUBIC) for picture in pictures]
    table = np.stack([np.asarray(picture) for picture in resized], axis=-1)  # (grid, grid, D)
    return table.reshape(grid * grid, width)  # (grid * grid, D)


def _open(path: Path) -> _Graph:
    import openvino

    try:
        model = openvino.Core().read_model(path)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise CheckpointError(f"{path} is no readable ONNX file ({reason})") from None
    return _Graph(path, {op.get_friendly_name(): op for op in model.get_ordered_ops()})


def _read_layer(graph: _Graph, at: str) -> dict[str, Floats]:
    weights = {}
    for name in _LINEARS:
        module = f"{at}.{name}"
        scope = f"{at.replace('encoder.', 'encoder/')}/{name.replace('.', '/')}"
        weights[f"{module}.weight"] = graph.operand(
            f"/backbone/{scope}/MatMul"
        ).T.copy()  # (out, in)
        weights[f"{module}.bias"] = graph.constant(f"backbone.{module}.bias")
    for name in _NORMS:
        for kind in ("weight", "bias"):
            weights[f"{at}.{name}.{kind}"] = graph.constant(f"backbone.{at}.{name}.{kind}")
    for name in _SCALED.values():
        weights[f"{at}.{name}.lambda1"] = graph.constant(f"backbone.{at}.{name}.lambda1")
    return weights


def _fold_layer(backbone: Mapping[str, Floats], at: str) -> dict[str, Floats]:
    """One encoder layer under our names, its two LayerScales multiplied in."""
    layer = {}
    for theirs, ours in _LINEARS.items():
        weight, bias = backbone[f"{at}{theirs}.weight"], backbone[f"{at}{theirs}.bias"]
        if theirs in _SCALED:
            scale = backbone[f"{at}{_SCALED[theirs]}.lambda1"]  # (out,)
            weight, bias = weight * scale[:, None], bias * scale  # (out, in), (out,)
        layer[f"{ours}.weight"], layer[f"{ours}.bias"] = weight, bias
    for theirs, ours in _NORMS.items():
        for kind in ("weight", "bias"):
            layer[f"{ours}.{kind}"] = backbone[f"{at}{theirs}.{kind}"]
    return layer
