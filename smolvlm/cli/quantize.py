"""`smolvlm quantize`: a model in fewer bits, and the receipt of what that cost, as a table.

What is done is the business of `export/quantize.py`; here the words of the command line become an
order, and the receipt becomes rows. What can be refused is refused before a weight is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smolvlm.cli import show
from smolvlm.cli.evaluate import choose_extent, find_suite
from smolvlm.cli.terminal import say, waiting
from smolvlm.errors import InputError
from smolvlm.evaluation.run import Extent
from smolvlm.evaluation.suite import read_suite
from smolvlm.export.quantize import Order, quantize
from smolvlm.quant.folder import check_free
from smolvlm.quant.receipt import Receipt
from smolvlm.weights import hub


def run(
    model: str,
    out: str,
    *,
    plan: str,
    calibrate: str | None,
    max_loss: float | None,
    suite: str | None,
    limit: int | None,
    threads: int | None,
    find: Mapping[str, Any],
) -> None:
    """Quantise, write and print. `find` are keywords of `hub.find_model`."""
    target = Path(out)
    check_free(target)
    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}; wanted at least 1")
    if limit is not None and suite is None:
        raise InputError("--limit is about the items of a suite; give --suite too")
    tasks = () if suite is None else read_suite(find_suite(suite)).tasks
    order = Order(
        plan=plan,
        calibrate=None if calibrate is None else Path(calibrate),
        max_loss=max_loss,
        tasks=tasks,
        extent=Extent(choose_extent(quick=False, limit=limit).items, baseline_items=0),
        threads=threads,
    )
    with waiting(f"opening {model}"):
        folder = hub.find_model(model, **find)
    receipt = quantize(folder, target, order, name=Path(model).name, tell=say)
    print_receipt(receipt)


def print_receipt(receipt: Receipt) -> None:
    """What was done to the matrices, then the figures."""
    header, *rows = receipt.rows()
    show.print_table(show.table(rows, header=header))
    schemes = ", ".join(f"{count} in {scheme}" for scheme, count in receipt.schemes.items())
    measured = receipt.calibration
    print(f"matrices: {schemes}")
    print(f"measured on {measured['measured_on']} of {measured['source']}")
