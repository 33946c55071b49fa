"""Which engine runs: the table's rule, its errors, and that nothing is imported in vain."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smolvlm.config import ImageRules
from smolvlm.engines import choose
from smolvlm.errors import CheckpointError, EngineError, InputError, UnknownNameError
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from tests.checkpoints import make_tiny


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path_factory.mktemp("m")))


@pytest.fixture
def rules(checkpoint: Checkpoint) -> ImageRules:
    return ImageRules.from_folder(checkpoint.folder)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and a machine that cannot run our kernels unless a test says it can."""
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path))
    pretend_tiles(monkeypatch, "this CPU has no amx_tile")


def pretend_tiles(monkeypatch: pytest.MonkeyPatch, obstacle: str | None) -> None:
    """What keeps our kernels from running; None when they can, and are built."""
    monkeypatch.setattr(choose, "obstacle", lambda: obstacle)
    monkeypatch.setattr(choose, "_build_failure", lambda: None)


def uninstall(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    def find(name: str) -> Any:
        return None if name in packages else importlib.util.find_spec(name)

    monkeypatch.setattr(choose, "find_spec", find)


def pretend_precisions(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    from smolvlm.engines import openvino_compile

    monkeypatch.setattr(openvino_compile, "runnable_precisions", lambda: names)


def pretend_kernel(monkeypatch: pytest.MonkeyPatch, *, threads: tuple[int | None, ...]) -> None:
    """With which numbers of threads there is the kernel that makes int8 the fastest."""
    from smolvlm.engines import openvino_compile

    monkeypatch.setattr(openvino_compile, "has_mlp_kernel", lambda asked=None: asked in threads)


def test_our_kernels_are_the_choice_where_they_run(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_tiles(monkeypatch, None)
    pretend_kernel(monkeypatch, threads=(None,))

    def chosen(**asked: Any) -> list[str]:
        row = choose.choose_for(checkpoint, **asked)
        return [row.name, row.precision]

    assert chosen() == chosen(threads=1) == chosen(engine="native") == ["native", "int8"]
    assert chosen(precision="bf16") == ["native", "bf16"]
    assert chosen(precision="f32") == ["openvino", "f32"]
    assert chosen(engine="openvino") == ["openvino", "int8"]
    told = choose.default_choice(choose.explain_choices())
    assert told is not None and [told.name, told.precision] == ["native", "int8"]
    with monkeypatch.context() as patch:
        patch.setattr(choose, "MOST_ROUNDED", 10)  # as if the model were a large one
        assert chosen()[0] == "openvino"
        assert chosen(engine="native") == ["native", "bf16"]
    monkeypatch.setattr(choose, "_build_failure", lambda: "the kernels do not compile")
    assert chosen()[0] == "openvino"
    with pytest.raises(EngineError, match="native cannot run here: the kernels do not compile"):
        chosen(engine="native")


def test_a_folder_of_4_bits_is_not_for_our_kernels(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_tiles(monkeypatch, None)
    monkeypatch.setattr(Checkpoint, "bits", lambda self, name: 4)
    assert choose.choose_for(checkpoint).name == "openvino"
    monkeypatch.setattr(Checkpoint, "bits", lambda self, name: 8)
    row = choose.choose_for(checkpoint)
    assert [row.name, row.precision] == ["native", "int8"]


def test_int8_is_the_choice_where_it_is_the_fastest(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_kernel(monkeypatch, threads=(None, 2))
    pretend_precisions(monkeypatch, "bf16", "f32", "int8")
    row = choose.choose_for(checkpoint)
    assert [row.name, row.precision] == ["openvino", "int8"]
    assert choose.choose_for(checkpoint, threads=2).precision == "int8"
    assert choose.choose_for(checkpoint, threads=1).precision == "bf16"
    assert choose.choose_for(checkpoint, "openvino").precision == "int8"
    assert choose.choose_for(checkpoint, precision="bf16").precision == "bf16"
    assert choose.choose_for(checkpoint, "torch").name == "torch"
    with monkeypatch.context() as patch:
        patch.setattr(choose, "MOST_ROUNDED", 10)  # as if the model were a large one
        assert choose.choose_for(checkpoint).precision == "bf16"
    told = choose.default_choice(choose.explain_choices())
    assert told is not None and told.precision == "int8"
    pretend_kernel(monkeypatch, threads=())
    told = choose.default_choice(choose.explain_choices())
    assert told is not None and told.precision == "bf16"
    assert choose.default_choice([]) is None


def test_openvino_is_the_choice_where_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_kernel(monkeypatch, threads=())
    pretend_precisions(monkeypatch, "bf16", "f32")
    assert [choose.choose().name, choose.choose().precision] == ["openvino", "bf16"]
    pretend_precisions(monkeypatch, "f32")
    assert [choose.choose().name, choose.choose().precision] == ["openvino", "f32"]


def test_torch_steps_in_for_a_missing_openvino(
    checkpoint: Checkpoint, rules: ImageRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(monkeypatch, "openvino")
    assert choose.choose().name == "torch"
    info = choose.create_engine(checkpoint, rules, precision="f32").describe()
    assert (info.name, info.precision) == ("torch", "f32")


def test_what_is_asked_for_is_built(checkpoint: Checkpoint, rules: ImageRules) -> None:
    engine = choose.create_engine(checkpoint, rules, engine="openvino", precision="f32", threads=1)
    info = engine.describe()
    assert (info.name, info.precision, info.threads) == ("openvino", "f32", 1)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"engine": "onnx"}, "no engine 'onnx'; there are native, openvino, torch"),
        ({"engine": ""}, "no engine ''; there are native, openvino, torch"),
        ({"precision": "int3"}, "no engine has a precision 'int3'; there are bf16, int8, f32"),
        (
            {"engine": "openvino", "precision": "fp8"},
            "openvino has no precision 'fp8'; there are bf16, f32",
        ),
    ],
)
def test_unknown_names(
    checkpoint: Checkpoint, rules: ImageRules, asked: dict[str, str], words: str
) -> None:
    with pytest.raises(UnknownNameError, match=words):
        choose.create_engine(checkpoint, rules, **asked)
    with pytest.raises(UnknownNameError, match=words):
        choose.fitting(asked.get("engine"), asked.get("precision"))


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall(monkeypatch, "torch")
    with pytest.raises(EngineError, match=r"^torch cannot run here: .*'smolvlm\[torch\]'\)$"):
        choose.choose("torch")
    uninstall(monkeypatch, "torch", "openvino")
    with pytest.raises(EngineError, match=r"pip install 'smolvlm'\); torch is not installed"):
        choose.choose()


def test_a_precision_the_cpu_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_precisions(monkeypatch, "f32")
    with pytest.raises(EngineError, match=r"bf16 cannot run here: .*no bf16 instructions"):
        choose.choose("openvino", "bf16")


def test_every_row_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    pretend_precisions(monkeypatch, "f32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = choose.explain_choices()
    assert tuple(row.choice for row in rows) == choose.CHOICES
    obstacles = {(r.choice.name, r.choice.device, r.choice.precision): r.obstacle for r in rows}
    assert obstacles[("openvino", "cpu", "f32")] is None
    assert obstacles[("torch", "cpu", "f32")] is None
    assert "bf16 instructions" in str(obstacles[("openvino", "cpu", "bf16")])
    assert "sees no CUDA device" in str(obstacles[("torch", "cuda", "bf16")])


@pytest.mark.parametrize("threads", [0, -1])
def test_impossible_threads(checkpoint: Checkpoint, rules: ImageRules, threads: int) -> None:
    with pytest.raises(InputError, match=f"threads is {threads}; wanted at least 1"):
        choose.create_engine(checkpoint, rules, threads=threads)


def test_tiles_that_do_not_fit_the_tower(checkpoint: Checkpoint, rules: ImageRules) -> None:
    with pytest.raises(CheckpointError, match=r"tiles of 384 pixels, config\.json wants 512"):
        choose.create_engine(checkpoint, replace(rules, tile=384))


def test_importing_the_table_imports_no_engine() -> None:
    code = "import sys, smolvlm.engines.choose; print({'openvino', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
