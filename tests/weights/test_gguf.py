"""A tiny GGUF file against a slow statement of its number formats, and the real one's sizes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.config import ModelConfig
from smolvlm.errors import CheckpointError
from smolvlm.weights.embedded import assets, fetch_text_gguf
from smolvlm.weights.gguf import GGUFFile, halves_order, text_config, text_tensors, vocabulary
from smolvlm.weights.names import expected_shapes

WIDTH, INNER, HEADS, KV_HEADS = 64, 96, 4, 2
TOKENS = ["<|endoftext|>", "a", "b", "ab"]
Q4_1, Q8_0 = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0
Floats = NDArray[np.float32]


def shapes() -> dict[str, tuple[int, ...]]:
    layer = {
        "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH),
        "attn_k": (WIDTH // 2, WIDTH), "attn_v": (WIDTH // 2, WIDTH),
        "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER),
    }  # fmt: skip
    top = {"token_embd.weight": (len(TOKENS), WIDTH), "output_norm.weight": (WIDTH,)}
    return top | {f"blk.0.{name}.weight": shape for name, shape in layer.items()}


def write(path: Path, *, drop: str = "", architecture: str = "llama", vocab: str = "gpt2") -> Path:
    """A Llama of one layer: matrices as Q4_1, the embedding as Q8_0, norms as float32."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(vocab)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 1, 1, 1])
    writer.add_token_merges(["a b"])
    rng = np.random.default_rng(0)
    for name, shape in shapes().items():
        values = rng.standard_normal(shape, dtype=np.float32)
        kind = Q8_0 if name.startswith("token") else Q4_1
        if name == drop:
            continue
        if len(shape) == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def slow_q4_1(data: bytes) -> list[float]:
    """Blocks of 32: float16 scale, float16 minimum, 16 bytes; low nibbles come first."""
    values = []
    for at in range(0, len(data), 20):
        scale, minimum = struct.unpack("<ee", data[at : at + 4])
        packed = data[at + 4 : at + 20]
        nibbles = [byte & 15 for byte in packed] + [byte >> 4 for byte in packed]
        values += [scale * nibble + minimum for nibble in nibbles]
    return values


def slow_q8_0(data: bytes) -> list[float]:
    """Blocks of 32: float16 scale, 32 signed bytes."""
    values = []
    for at in range(0, len(data), 34):
        scale, *steps = struct.unpack("<e32b", data[at : at + 34])
        values += [scale * step for step in steps]
    return values


@pytest.mark.parametrize(
    ("name", "slow"), [("blk.0.ffn_gate.weight", slow_q4_1), ("token_embd.weight", slow_q8_0)]
)
def test_tensors_are_dequantised_as_the_format_says(
    name: str, slow: Callable[[bytes], list[float]], tmp_path: Path
) -> None:
    path = write(tmp_path / "tiny.gguf")
    stored = next(t for t in gguf.GGUFReader(path).tensors if t.name == name)
    got = GGUFFile(path).tensor(name)
    assert got.shape == shapes()[name] and got.dtype == np.float32
    np.testing.assert_allclose(got.ravel(), slow(stored.data.tobytes()), rtol=1e-6, atol=1e-6)


def test_every_tensor_has_our_name_and_shape(tmp_path: Path) -> None:
    tensors = text_tensors(GGUFFile(write(tmp_path / "tiny.gguf")))
    attention = "text_model.layers.0.self_attn"
    assert tensors[f"{attention}.k_proj.weight"].shape == (WIDTH // 2, WIDTH)
    assert tensors["text_model.layers.0.mlp.down_proj.weight"].shape == (WIDTH, INNER)
    assert len(tensors) == len(shapes())


def rotate(x: Floats, pairs: list[tuple[int, int]], position: int) -> Floats:
    """Rotary embedding of one head, written out: each pair of channels turned by its angle."""
    out = x.copy()
    for number, (first, second) in enumerate(pairs):
        angle = position * 10000.0 ** (-2 * number / len(x))
        cos, sin = np.cos(angle), np.sin(angle)
        out[first] = x[first] * cos - x[second] * sin
        out[second] = x[first] * sin + x[second] * cos
    return out


def test_rotating_halves_gives_the_scores_llama_cpp_has() -> None:
    heads, side, width = 2, 8, 5
    rng = np.random.default_rng(0)
    query, key = rng.standard_normal((2, heads * side, width), dtype=np.float32)
    x, y = rng.standard_normal((2, width), dtype=np.float32)
    neighbours = [(2 * i, 2 * i + 1) for i in range(side // 2)]
    halves = [(i, i + side // 2) for i in range(side // 2)]
    for head in range(heads):
        rows = slice(head * side, (head + 1) * side)
        theirs = rotate((query @ x)[rows], neighbours, 3) @ rotate((key @ y)[rows], neighbours, 7)
        our_q, our_k = halves_order(query, heads) @ x, halves_order(key, heads) @ y
        ours = rotate(our_q[rows], halves, 3) @ rotate(our_k[rows], halves, 7)
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_vocabulary(tmp_path: Path) -> None:
    assert vocabulary(GGUFFile(write(tmp_path / "tiny.gguf"))) == (TOKENS, [("a", "b")])


def test_the_embedded_language_model_is_the_one_of_the_config() -> None:
    file = GGUFFile(fetch_text_gguf())
    config = ModelConfig.from_folder(assets()).text
    stored = text_config(file)
    assert stored.vocab_size == 49152
    assert {**vars(stored), "vocab_size": 49280} == vars(config)
    wanted = {name for name in expected_shapes(ModelConfig.from_folder(assets())) if "text" in name}
    assert text_tensors(file).keys() == wanted


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "not GGUF": lambda data: b"GGML" + data[4:],
    "cut in the header": lambda data: data[:200],
    "cut in the tensors": lambda data: data[:-1000],
    "endless list of tensors": lambda data: data[:8] + b"\xff" * 8 + data[16:],
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_broken_files_are_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"tiny\.gguf is no whole GGUF file .*again"):
        GGUFFile(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        GGUFFile(tmp_path / "no.gguf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": "blk.0.attn_k.weight"}, r"no tensor blk\.0\.attn_k\.weight"),
        ({"architecture": "qwen2"}, "'qwen2' model; wanted 'llama'"),
    ],
)
def test_other_models_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = GGUFFile(write(tmp_path / "tiny.gguf", **options))
    with pytest.raises(CheckpointError, match=message):
        text_tensors(file)


def test_other_vocabularies_are_refused(tmp_path: Path) -> None:
    file = GGUFFile(write(tmp_path / "tiny.gguf", vocab="llama"))
    with pytest.raises(CheckpointError, match="'llama' vocabulary; wanted 'gpt2'"):
        vocabulary(file)
