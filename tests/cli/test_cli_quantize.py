"""`smolvlm quantize`: what reaches the maker, what is printed, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from smolvlm.cli import quantize as command
from smolvlm.export.calibration import DRAWN
from smolvlm.export.quantize import Order
from smolvlm.export.search import LIMIT
from smolvlm.quant.folder import Quantized, write_quantized
from smolvlm.quant.receipt import Receipt
from smolvlm.quant.schemes import INT8, quantize
from smolvlm.weights.names import EMBEDDING
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.cli.conftest import Cli

FIGURES = {"f32": {"logit_kl": 0.0, "bytes": 2**21}, "quantized": {"logit_kl": 0.5, "bytes": 2**20}}
CALIBRATION = {"source": "9 pictures of photos", "measured_on": 2}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, tokenizer_gen2_folder: Path) -> Path:
    folder = make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path_factory.mktemp("tiny"))
    shutil.copy(tokenizer_gen2_folder / "tokenizer.json", folder)
    return folder


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replaces the maker; what it was asked for."""
    calls: list[dict[str, Any]] = []

    def make(folder: Path, out: Path, order: Order, *, name: str, tell: Any) -> Receipt:
        calls.append({"folder": folder, "out": out, "order": order, "name": name})
        tell("rounding")
        return Receipt("m", "int4", {"int8": 3, "int4-64": 2}, CALIBRATION, FIGURES, {}, {})

    monkeypatch.setattr(command, "quantize", make)
    return calls


def test_options_become_an_order_and_the_receipt_a_table(
    cli: Cli, orders: list[dict[str, Any]], tiny: Path, tmp_path: Path
) -> None:
    result = cli.run(
        "quantize", tiny, tmp_path / "out", "--plan", "int4", "--calibrate", "photos",
        "--max-loss", "0.1", "--threads", "1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (call,) = orders
    assert (call["folder"], call["out"], call["name"]) == (tiny, tmp_path / "out", tiny.name)
    order = call["order"]
    assert (order.plan, order.calibrate, order.max_loss) == ("int4", Path("photos"), 0.1)
    assert (order.threads, order.tasks) == (1, ())
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["f32", "quantized"]
    assert lines[0].split()[-2:] == ["0.00000", "0.50000"]
    assert lines[-2:] == [
        "matrices: 3 in int8, 2 in int4-64",
        "measured on 2 of 9 pictures of photos",
    ]
    assert result.stderr == "rounding\n"


def test_defaults(cli: Cli, orders: list[dict[str, Any]], tiny: Path, tmp_path: Path) -> None:
    assert cli.run("quantize", tiny, tmp_path / "out").exit_code == 0
    assert orders[0]["order"] == Order()


def test_the_help_names_the_defaults(cli: Cli) -> None:
    told = " ".join(cli.run("quantize", "--help").stdout.split())
    assert f"no limit; auto: {LIMIT:g}]" in told
    assert f"[default: {DRAWN} drawn ones]" in told


@pytest.fixture
def places(tmp_path: Path, tiny: Path) -> dict[str, Path]:
    """Folders that something is wrong with."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    for number in range(8):
        Image.new("RGB", (20, 20)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.png").write_bytes(b"no picture")
    (tmp_path / "done").mkdir()
    source = open_checkpoint(tiny)
    table = Quantized({EMBEDDING: quantize(source.f32(EMBEDDING), INT8)})
    write_quantized(tmp_path / "done", source, table)
    plans = {
        "typo": {"text_model.layers.0.mlp.up_prjo": "int8"},
        "groups": {"text_model.layers.0.mlp.down_proj": "int4-64"},
    }
    for name, layers in plans.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"layers": layers}))
    return {path.stem: path for path in tmp_path.iterdir()}


BAD: dict[str, tuple[list[str], str]] = {
    "a quantised folder": (["{done}", "{out}"], "is quantised, which is good for answering only"),
    "an output that is not empty": (["{tiny}", "{full}"], "full is not empty; give the name of"),
    "an unknown plan": (["{tiny}", "{out}", "--plan", "int5"], "no plan 'int5'; give int8, int4"),
    "a layer that is not there": (
        ["{tiny}", "{out}", "--plan", "{typo}"],
        "'text_model.layers.0.mlp.up_prjo' fits no layer; the nearest is "
        "text_model.layers.0.mlp.up_proj",
    ),
    "groups that do not divide": (
        ["{tiny}", "{out}", "--plan", "{groups}"],
        "down_proj.weight has 80 columns, which int4-64 cannot cut into groups of 64",
    ),
    "no pictures": (["{tiny}", "{out}", "--calibrate", "{empty}"], "empty holds no pictures"),
    "no folder": (["{tiny}", "{out}", "--calibrate", "gone"], "there is no folder gone"),
    "a broken picture": (["{tiny}", "{out}", "--calibrate", "{broken}"], "1.png"),
    "no model": (["gone", "{out}"], "gone"),
    "a limit of nothing": (["{tiny}", "{out}", "--max-loss", "0"], "max-loss is 0"),
    "a limit without a suite": (["{tiny}", "{out}", "--limit", "3"], "give --suite too"),
    "no threads": (["{tiny}", "{out}", "--threads", "0"], "--threads is 0"),
    "no suite": (["{tiny}", "{out}", "--suite", "gone"], "gone is no suite"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    cli: Cli, tiny: Path, places: dict[str, Path], tmp_path: Path, case: str
) -> None:
    words, wanted = BAD[case]
    before = sorted(tmp_path.rglob("*"))
    named = {"tiny": tiny, "out": tmp_path / "out", **places}
    result = cli.run("quantize", *(word.format(**named) for word in words))
    assert (result.exit_code, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ") and wanted in last
    assert [line for line in result.stderr.splitlines()[:-1] if "warning" not in line] == []
    assert sorted(tmp_path.rglob("*")) == before
