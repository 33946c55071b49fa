"""The OpenVINO engine on smaller machines: one processor, fewer instructions, one thread.

Whatever a machine lacks costs time and no answers. Each case is a process of its own, because
OpenVINO looks at the machine once. Errors of the plugin's kernels end a process, so that it came to
its end is half of the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smolvlm.config import ModelConfig
from smolvlm.engines.openvino_compile import runnable_precisions
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint
from tests.checkpoints import make_tiny, random_tensors

ROOT = Path(__file__).parents[2]
NAME = "SmolVLM2-256M-Video-Instruct"
# Of the largest logit. Seen: f32 1e-6, bf16 0.01, int8 0.03.
TOLERANCES = {"f32": 1e-4, "bf16": 0.05, "int8": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose MLP has the sizes that the plugin's kernel for a whole MLP can cut."""
    folder = make_tiny(NAME, tmp_path_factory.mktemp("machines"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = random_tensors(ModelConfig.from_folder(folder), 5)
    write_checkpoint(folder, {name: to_bf16_bits(t) for name, t in tensors.items()})
    return folder


def answers(
    folder: Path, *engines: str, processors: int = 2, isa: str | None = None
) -> list[dict[str, Any]]:
    """What each `PRECISION:THREADS` (0: as many as there are) says there."""
    variables = {**os.environ, "SMOLVLM_CACHE": str(folder / "cache")}
    if isa:
        variables["ONEDNN_MAX_CPU_ISA"] = isa
    command = [sys.executable, "-m", "tests.engines.small_machine", str(folder), str(processors)]
    done = subprocess.run(
        [*command, *engines], capture_output=True, text=True, cwd=ROOT, env=variables
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def wanted(folder: Path) -> dict[str, Any]:
    """What the whole machine says in float32."""
    [told] = answers(folder, "f32:0")
    return told


def assert_close(seen: dict[str, Any], wanted: dict[str, Any]) -> None:
    precision = seen["precision"]
    ours, theirs = np.array(seen["logits"]), np.array(wanted["logits"])  # (64,) each
    assert np.abs(ours - theirs).max() <= TOLERANCES[precision] * np.abs(theirs).max()
    if precision == "f32":
        assert seen["said"] == wanted["said"]


def test_one_processor(folder: Path, wanted: dict[str, Any]) -> None:
    """The kernel for a whole MLP divides by zero where one thread computes.

    It must not be chosen there, whether one thread was asked for, or more than there are, or none.
    """
    engines = (":0", ":2", "bf16:0", "bf16:1", "bf16:2", "int8:0", "int8:2", "f32:0")
    if "bf16" not in runnable_precisions():
        engines = tuple(name for name in engines if not name.startswith("bf16"))
    for seen in answers(folder, *engines, processors=1):
        assert_close(seen, wanted)


def test_one_thread_of_several_processors(folder: Path, wanted: dict[str, Any]) -> None:
    engines = (":0", ":1", "bf16:1", "int8:1", "f32:1")
    if "bf16" not in runnable_precisions():
        engines = tuple(name for name in engines if not name.startswith("bf16"))
    for seen in answers(folder, *engines):
        assert_close(seen, wanted)


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE", "AVX512_CORE_BF16"])
def test_fewer_instructions(folder: Path, wanted: dict[str, Any], isa: str) -> None:
    """As on processors without AVX-512, without bfloat16 and without AMX.

    The plugin looks at the processor itself before it rounds activations, and then finds no kernel
    for that in AVX2; where there is nothing else, it knows.
    """
    engines = [":0", "f32:0"]
    if isa != "AVX2":
        engines.append("int8:0")
    if "BF16" in isa and "bf16" in runnable_precisions():
        engines.append("bf16:0")
    for seen in answers(folder, *engines, isa=isa):
        assert_close(seen, wanted)


def test_a_limit_of_instructions_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bfloat16 is not offered where its kernels are not to be had."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    assert "bf16" not in runnable_precisions()
