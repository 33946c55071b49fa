"""What each precision computes in, and that the plan of the default says what float32 says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from smolvlm.config import ImageRules
from smolvlm.engines import openvino_compile
from smolvlm.engines.base import Engine, Step
from smolvlm.engines.choose import create_engine
from smolvlm.engines.openvino import OpenVINOEngine
from smolvlm.engines.openvino_compile import (
    ACTIVATION_GROUP,
    DOWN,
    WHOLE_ROW,
    has_mlp_kernel,
    numbers,
    runnable_precisions,
)
from smolvlm.engines.openvino_ops import Weights
from smolvlm.engines.openvino_text import build_text_graph
from smolvlm.quant.plan import LOADED
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from tests import invariants
from tests.checkpoints import NAMES, make_tiny

NAME = "SmolVLM-256M-Instruct"
TOKENS = 24
# Of the largest logit: what a precision may move. Seen: bf16 0.01, int8 0.03.
MOVED = {"bf16": 0.03, "int8": 0.08, "f32": 1e-4}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMOLVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def rows_along(engine: Engine, prompt: invariants.Prompt, said: list[int]) -> NDArray[np.float32]:
    """Logits (n, V) before each of the given tokens, stepped one by one as an answer is."""
    state = engine.open_state()
    rows = engine.step([Step(state, prompt.ids, prompt.features)])
    for token in said[:-1]:
        rows += engine.step([Step(state, np.array([token]))])
    return np.concatenate([row[-1:] for row in rows])


def greedy(engine: Engine, prompt: invariants.Prompt) -> list[int]:
    state = engine.open_state()
    [row] = engine.step([Step(state, prompt.ids, prompt.features)])
    said = [int(row[-1].argmax())]
    while len(said) < TOKENS:
        [row] = engine.step([Step(state, np.array(said[-1:]))])
        said.append(int(row[-1].argmax()))
    return said


def assert_same_words(engine: Engine, exact: Engine, moved: float) -> None:
    """The same word wherever float32 is not undecided, and it is decided in many places."""
    prompt = invariants.random_prompt(exact, tiles=1, seed=3)
    said = greedy(exact, prompt)
    wanted, seen = rows_along(exact, prompt, said), rows_along(engine, prompt, said)  # (n, V)
    assert invariants.relative_error(seen, wanted) <= moved
    best = np.sort(wanted, axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * np.abs(seen - wanted).max(1)  # (n,)
    assert clear.mean() > 0.15, "the model is undecided nearly everywhere; nothing was tested"
    assert (seen.argmax(1) == np.array(said))[clear].all()


@pytest.mark.parametrize("name", [NAMES[0], NAMES[2], NAMES[4]])
def test_the_default_says_what_float32_says(name: str, tmp_path: Path) -> None:
    folder = make_tiny(name, tmp_path)
    checkpoint, rules = open_checkpoint(folder), ImageRules.from_folder(folder)
    default = create_engine(checkpoint, rules)
    exact = OpenVINOEngine(checkpoint, rules, precision="f32")
    assert_same_words(default, exact, MOVED[default.describe().precision])


def test_int8_says_nearly_what_float32_says(tmp_path: Path) -> None:
    folder = make_tiny(NAME, tmp_path)
    checkpoint, rules = open_checkpoint(folder), ImageRules.from_folder(folder)
    exact = OpenVINOEngine(checkpoint, rules, precision="f32")
    engine = OpenVINOEngine(checkpoint, rules, precision="int8")
    assert_same_words(engine, exact, MOVED["int8"])


def test_what_each_precision_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    bf16, f32 = ov.Type.bf16, ov.Type.f32
    monkeypatch.setattr(openvino_compile, "_has_bf16", lambda: True)
    assert numbers("text", "f32") == openvino_compile.Numbers(f32, f32)
    assert numbers("vision", "bf16") == openvino_compile.Numbers(bf16, bf16)
    whole = numbers("text", "int8", whole_mlp=True)
    assert (whole.kind, whole.cache, whole.group) == (bf16, bf16, WHOLE_ROW)
    plain = numbers("text", "int4")
    assert (plain.kind, plain.cache, plain.group) == (f32, ov.Type.u8, ACTIVATION_GROUP)
    assert numbers("vision", "int8").kind == bf16
    monkeypatch.setattr(openvino_compile, "_has_bf16", lambda: False)
    assert numbers("vision", "int8").kind == f32


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(make_tiny(NAME, tmp_path_factory.mktemp("tiny")))


def constants(model: ov.Model) -> dict[str, int]:
    """How many large constants of each type a graph has."""
    found: dict[str, int] = {}
    for node in model.get_ops():
        if node.get_type_name() == "Constant" and node.get_output_size() == 1:
            shape = node.get_output_shape(0)
            if len(shape) == 2 and min(shape) > 1:
                kind = node.get_output_element_type(0).get_type_name()
                found[kind] = found.get(kind, 0) + 1
    return found


def test_wide_matrices_are_no_codes(checkpoint: Checkpoint) -> None:
    """In 16 bits, whether a scheme or nothing had them in codes."""
    shapes = {name: checkpoint.shape(name) for name in checkpoint.names()}
    schemes = LOADED["int8"].resolve(shapes)
    layers = checkpoint.config.text.num_hidden_layers
    narrow = Weights(checkpoint, narrow=True, schemes=schemes)
    wide = Weights(checkpoint, narrow=True, schemes=schemes, wide=DOWN)
    before, after = (constants(build_text_graph(weights)) for weights in (narrow, wide))
    assert before["i8"] - after["i8"] == layers
    assert after.get("bf16", 0) - before.get("bf16", 0) == layers


def test_the_kernel_is_there_only_with_bfloat16_and_several_threads() -> None:
    """Asking does no harm where one thread computes, which the kernel itself would not survive."""
    assert not has_mlp_kernel(1)
    if has_mlp_kernel():
        assert "bf16" in runnable_precisions()
