"""Quantised folders in the OpenVINO engine: every scheme computes what its codes stand for.

The slow twin is PyTorch with the values that the codes stand for. What the plugin's kernels round
besides (activations, keys and values) is switched off by the precision "f32".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.config import ImageRules, ModelConfig
from smolvlm.engines.base import Engine
from smolvlm.engines.choose import choose_for, create_engine
from smolvlm.engines.openvino import OpenVINOEngine
from smolvlm.engines.torch import TorchEngine
from smolvlm.errors import InputError
from smolvlm.quant.calibrate import observing
from smolvlm.quant.folder import Quantized, write_quantized
from smolvlm.quant.plan import quantizable
from smolvlm.quant.schemes import Scheme, quantize
from smolvlm.weights.quantized import InputRange
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint
from tests import invariants
from tests.checkpoints import make_tiny, random_tensors

NAME = "SmolVLM2-256M-Video-Instruct"
SCHEMES = ("int8", "int4-32", "int4-64", "int4-128", "int4-32-asym", "int4-64-asym")
PARITY = 1e-4
ATTENTION = ("ScaledDotProductAttention", "Subgraph")  # what the plugin calls its kernels
ROUNDED = 0.05  # what 8-bit activations, keys and values may move


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMOLVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A tiny model whose layers can be cut into groups of 128, stored in bfloat16, head tied."""
    folder = make_tiny(NAME, tmp_path_factory.mktemp("plain"), tied=True)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32}
    config["vision_config"] |= {"hidden_size": 128, "intermediate_size": 256}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = random_tensors(ModelConfig.from_folder(folder), 5)
    write_checkpoint(folder, {name: to_bf16_bits(t) for name, t in tensors.items()})
    return open_checkpoint(folder)


def quantized(
    plain: Checkpoint, out: Path, scheme: str, inputs: dict[str, InputRange] | None = None
) -> Checkpoint:
    """Every matrix of the model in one scheme."""
    shapes = {name: plain.shape(name) for name in plain.names()}
    parsed = Scheme.parse(scheme)
    matrices = {n: quantize(plain.f32(n), parsed) for n in quantizable(shapes).values()}
    out.mkdir(exist_ok=True)
    write_quantized(out, plain, Quantized(matrices, inputs or {}))
    return open_checkpoint(out)


def open_engine(checkpoint: Checkpoint, **options: Any) -> OpenVINOEngine:
    return OpenVINOEngine(checkpoint, ImageRules.from_folder(checkpoint.folder), **options)


def tiles(engine: Engine, count: int = 2) -> NDArray[np.uint8]:
    side = engine.config.vision.image_size
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_quantised_folder_computes_what_its_codes_stand_for(
    plain: Checkpoint, tmp_path: Path, scheme: str
) -> None:
    checkpoint = quantized(plain, tmp_path, scheme)
    reference = TorchEngine(checkpoint, ImageRules.from_folder(tmp_path))
    engine = open_engine(checkpoint)
    wanted = reference.encode_tiles(tiles(engine))
    assert invariants.relative_error(engine.encode_tiles(tiles(engine)), wanted) <= PARITY
    # The codes are read, not the values they were made of.
    unlike = TorchEngine(plain, ImageRules.from_folder(plain.folder)).encode_tiles(tiles(engine))
    assert invariants.relative_error(unlike, wanted) > 10 * PARITY
    prompt = invariants.random_prompt(reference, tiles=1, seed=1)
    (logits,) = engine.step([prompt.step(engine.open_state())])
    (row,) = reference.step([prompt.step(reference.open_state())])
    assert invariants.relative_error(logits, row) <= PARITY
    assert invariants.greedy(engine, prompt, 24) == invariants.greedy(reference, prompt, 24)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_precision_of_the_folder_is_taken_and_stays_near(
    plain: Checkpoint, tmp_path: Path, scheme: str
) -> None:
    checkpoint = quantized(plain, tmp_path, scheme)
    bits = f"int{Scheme.parse(scheme).bits}"
    assert choose_for(checkpoint).precision == bits
    engine = create_engine(checkpoint, ImageRules.from_folder(tmp_path))
    assert engine.describe().precision == bits
    exact = open_engine(checkpoint)
    prompt = invariants.random_prompt(exact, tiles=1, seed=2)
    seen = engine.encode_tiles(tiles(engine))
    assert invariants.relative_error(seen, exact.encode_tiles(tiles(engine))) < ROUNDED
    (logits,) = engine.step([prompt.step(engine.open_state())])  # (L, V)
    (wanted,) = exact.step([prompt.step(exact.open_state())])  # (L, V)
    assert invariants.relative_error(logits, wanted) < ROUNDED
    best = np.sort(wanted, axis=1)  # (L, V)
    clear = best[:, -1] - best[:, -2] > 2 * np.abs(logits - wanted).max()  # (L,)
    assert clear.any()
    assert (logits.argmax(1) == wanted.argmax(1))[clear].all()
    assert invariants.greedy(engine, prompt, 4) == invariants.greedy(engine, prompt, 4)


def tower_ranges(plain: Checkpoint) -> dict[str, InputRange]:
    """A range for every layer of the tower, the one of what its inputs are here."""
    engine = TorchEngine(plain, ImageRules.from_folder(plain.folder))
    layers = tower_layers(plain)
    with observing(engine.model, layers) as seen:
        engine.encode_tiles(tiles(engine, 1))
    return {name: seen[name].range for name in layers}


def tower_layers(checkpoint: Checkpoint) -> list[str]:
    shapes = {name: checkpoint.shape(name) for name in checkpoint.names()}
    return [n for n in quantizable(shapes).values() if n.startswith("vision_model.encoder")]


def limited(engine: TorchEngine, ranges: dict[str, InputRange]) -> NDArray[np.float32]:
    """The slow twin: every layer's inputs become codes and values again, in PyTorch."""

    def rounded(limits: InputRange, x: Any) -> Any:
        codes = (x / limits.scale).round().add(limits.zero).clamp(-128, 127)
        return ((codes - limits.zero) * limits.scale,)

    hooks = [
        engine.model.get_submodule(name.removesuffix(".weight")).register_forward_pre_hook(
            lambda _, given, limits=limits: rounded(limits, given[0])
        )
        for name, limits in ranges.items()
    ]
    features = engine.encode_tiles(tiles(engine))
    for hook in hooks:
        hook.remove()
    return features


@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_inputs_in_8_bits(plain: Checkpoint, tmp_path: Path, precision: str) -> None:
    """As the slow twin has it but for values between two codes, and computed in 8 bits."""
    ranges = tower_ranges(plain)
    checkpoint = quantized(plain, tmp_path, "int8", ranges)
    reference = TorchEngine(checkpoint, ImageRules.from_folder(tmp_path))
    wanted = limited(reference, ranges)
    engine = open_engine(checkpoint, precision=precision)
    seen = engine.encode_tiles(tiles(engine))
    lengths = np.linalg.norm(seen, axis=2) * np.linalg.norm(wanted, axis=2)  # (N, T)
    cosines = (seen * wanted).sum(2) / lengths  # (N, T)
    assert cosines.min() > 0.999
    assert_kernels(engine, len(ranges))
    cached = open_engine(checkpoint, precision=precision)
    again = cached.encode_tiles(tiles(engine))
    assert invariants.relative_error(again, seen) <= PARITY
    assert_kernels(cached, len(ranges))


def assert_kernels(engine: OpenVINOEngine, count: int) -> None:
    """That so many layers of the tower ran in 8 bits, and nothing between them."""
    nodes = [node.get_rt_info() for node in engine._vision.model.get_runtime_model().get_ops()]
    # Such as brgemm_avx512_amx_I8, once it ran.
    kernels = [(n["layerType"].astype(str), n["primitiveType"].astype(str)) for n in nodes]
    layers = [kernel for kind, kernel in kernels if kind == "FullyConnected"]
    assert sum(kernel.lower().endswith("i8") for kernel in layers) == count == 12
    # Attention is where 8 bits would be lost first.
    others = [kernel for kind, kernel in kernels if kind in ATTENTION]
    assert others and not any(kernel.lower().endswith("i8") for kernel in others)


def test_the_other_precision_is_refused(plain: Checkpoint, tmp_path: Path) -> None:
    checkpoint = quantized(plain, tmp_path, "int4-64")
    with pytest.raises(InputError, match="is quantised to int4 already"):
        create_engine(checkpoint, ImageRules.from_folder(tmp_path), precision="int8")
