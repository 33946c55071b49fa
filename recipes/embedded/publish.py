"""From the state of a training run to the files the package carries.

    python -m recipes.embedded.publish --state DIR/state.pt [--out DIR]

Writes `trained.safetensors` (float16) and `trained.json` in the form `weights/embedded.py` reads,
beside copies of the config files, so that `assemble(DIR)` gives a folder to evaluate before
anything enters the package. Without `--out` it replaces the package's own.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from smolvlm.weights.embedded import assets

LARGEST_BYTES = 40_000_000  # what the repository may carry


def publish(state: Mapping[str, Any], out: Path) -> Path:
    """Write both files into `out`; returns the larger one.

    state: what `train.Run.save` keeps: "tensors", "settings" and facts about the run, which all but
    the tensors go into `trained.json`.
    """
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() != assets().resolve():
        _copy_small_files(out)
    path = out / "trained.safetensors"
    stored = save({key: _stored(key, value) for key, value in state["tensors"].items()})
    assert len(stored) <= LARGEST_BYTES, len(stored)
    path.write_bytes(stored)
    facts = {key: value for key, value in state.items() if key != "tensors"}
    record = {"scale": state["settings"]["scale"], **facts}
    (out / "trained.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def _copy_small_files(out: Path) -> None:
    """Config, template and added tokens, as the package has them."""
    for path in assets().iterdir():
        if not path.name.startswith("trained"):
            shutil.copyfile(path, out / path.name)


def _stored(key: str, tensor: Tensor) -> Tensor:
    """Row ids as they are, everything else in float16."""
    if tensor.dtype == torch.int32:
        return tensor
    half = tensor.to(torch.float16).contiguous()
    assert bool(half.isfinite().all()), f"{key} leaves the range of float16"
    return half


def main() -> None:
    """Command line of this step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=assets(), help="a folder for a trial")
    args = parser.parse_args()
    state = torch.load(args.state, map_location="cpu", weights_only=True)
    print(publish(state, args.out))


if __name__ == "__main__":
    main()
