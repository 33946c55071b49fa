"""The folder that all engines of `peers.py` run: the true shape of the 256M, made on the spot.

    python -m benchmarks.peer_folder FOLDER [--onnx]

The published weights are behind a model hub that not every machine reaches, and speed does not
depend on values. But an engine that answers wrongly has no speed, and with random words in its head
every model babbles; so the language half is that of the embedded model, which has the same shape,
and the tower is random. `--onnx` adds what ONNX Runtime needs: the tower by PyTorch's exporter, the
language model by the builder of onnxruntime-genai, both quantised dynamically to 8 bits. That takes
minutes and the packages named in `peers.py`. The IR of optimum-intel, which wants an older
transformers, comes from its own command, in an environment of its own:

    optimum-cli export openvino -m FOLDER --task image-text-to-text FOLDER/optimum
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.engine_speed import FILES
from smolvlm.config import ModelConfig
from smolvlm.weights.hub import find_model
from smolvlm.weights.names import HEAD
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint
from tests.checkpoints import golden_json, random_tensors

SHAPE = "SmolVLM-256M-Instruct"
ONNX, OPTIMUM = "onnx", "optimum"  # folders inside the folder
LANGUAGE = "text_model."


def write_folder(folder: Path) -> None:
    """Config and weights in bfloat16, as the published checkpoint is stored."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in FILES:
        text = json.dumps(golden_json(SHAPE, kind), indent=1)
        (folder / f"{kind}.json").write_text(text, encoding="utf-8")
    tensors = random_tensors(ModelConfig.from_folder(folder), 0)
    trained = open_checkpoint(find_model("embedded"))
    for name in tensors:
        source = trained.head_name if name == HEAD else name
        if name == HEAD or name.startswith(LANGUAGE):
            tensors[name] = trained.f32(source)
    write_checkpoint(folder, {name: to_bf16_bits(values) for name, values in tensors.items()})


def write_onnx(folder: Path) -> None:
    """`onnx/vision.onnx` and `onnx/text/model.onnx`, in 8 bits."""
    target = folder / ONNX
    with tempfile.TemporaryDirectory() as scratch:
        _write_vision(folder, Path(scratch), target)
        _write_text(folder, Path(scratch), target / "text")


def _write_vision(folder: Path, scratch: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForImageTextToText

    model: Any = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    )
    model.eval()
    tower = model.model.vision_model

    class Vision(torch.nn.Module):
        """Pixels (n, 3, S, S) to features (n, T, H), whole tiles only."""

        def __init__(self) -> None:
            super().__init__()
            self.tower, self.connector = tower, model.model.connector

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            """Without the masks and buckets that tiles with a border would need."""
            embeddings = self.tower.embeddings
            x = embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)  # (n, P, D)
            x = x + embeddings.position_embedding.weight
            x = self.tower.encoder(inputs_embeds=x, attention_mask=None).last_hidden_state
            features: torch.Tensor = self.connector(self.tower.post_layernorm(x))  # (n, T, H)
            return features

    side = model.config.vision_config.image_size
    plain = scratch / "vision.onnx"
    with torch.no_grad():
        torch.onnx.export(
            Vision(), (torch.rand(2, 3, side, side),), str(plain), dynamo=True,
            input_names=["pixels"], output_names=["features"], external_data=False,
            dynamic_shapes={"pixels": {0: torch.export.Dim("tiles", min=1, max=64)}},
        )  # fmt: skip
    target.mkdir(parents=True, exist_ok=True)
    _quantize(plain, target / "vision.onnx", ["MatMul", "Gemm"])


def _quantize(source: Path, target: Path, kinds: list[str], *, apart: bool = False) -> None:
    """8-bit weights, a scale a column; apart: the weights go into a file beside the graph."""
    # By name, because it is none of the packages of this project.
    library: Any = import_module("onnxruntime.quantization")
    library.quantize_dynamic(
        source, target, weight_type=library.QuantType.QInt8, per_channel=True,
        op_types_to_quantize=kinds, use_external_data_format=apart,
    )  # fmt: skip


def _write_text(folder: Path, scratch: Path, target: Path) -> None:
    source, plain = scratch / "llama", scratch / "text"
    _write_llama(folder, source)
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(source)]
    command += ["-o", str(plain), "-p", "fp32", "-e", "cpu", "-c", str(scratch / "cache")]
    subprocess.run([*command, "--extra_options", "exclude_embeds=true"], check=True)
    target.mkdir(parents=True, exist_ok=True)
    _quantize(plain / "model.onnx", target / "model.onnx", ["MatMul"], apart=True)


def _write_llama(folder: Path, target: Path) -> None:
    """The language half as a folder of its own, which is what the builder takes."""
    import torch
    from transformers import AutoModelForImageTextToText, LlamaConfig, LlamaForCausalLM

    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    told = model.config.text_config.to_dict()
    told = {name: value for name, value in told.items() if name not in ("model_type",)}
    llama: Any = LlamaForCausalLM(LlamaConfig(**told))
    llama.model.load_state_dict(model.model.text_model.state_dict())
    llama.lm_head.load_state_dict(model.lm_head.state_dict())
    llama.save_pretrained(target)
    config = json.loads((target / "config.json").read_text())
    config |= {"architectures": ["LlamaForCausalLM"], "rope_theta": _theta(folder)}
    (target / "config.json").write_text(json.dumps(config))
    tokenizer = find_model("embedded")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, target / name)


def _theta(folder: Path) -> float:
    return ModelConfig.from_folder(folder).text.rope_theta


def main() -> None:
    """Make the folder the command line names."""
    parser = argparse.ArgumentParser(description="The folder that all engines of peers.py run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--onnx", action="store_true")
    options = parser.parse_args()
    if not (options.folder / "config.json").exists():
        write_folder(options.folder)
    if options.onnx:
        write_onnx(options.folder)


if __name__ == "__main__":
    main()
