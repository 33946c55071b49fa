"""A receipt comes back from its file and reads as a table."""

from __future__ import annotations

import json
from pathlib import Path

from smolvlm.quant.folder import RECEIPT
from smolvlm.quant.receipt import ROWS, Receipt, count_schemes, read_receipt
from smolvlm.quant.schemes import INT4, INT8

FIGURES = {
    "f32": {"logit_kl": 0.0, "token_agreement": 1.0, "bytes": 4 * 2**20, "feature_cosine": None},
    "quantized": {"logit_kl": 0.0125, "token_agreement": 0.97, "bytes": 2**20},
}


def receipt() -> Receipt:
    scores = {"E1": {"metric": "accuracy", "items": 9, "f32": 0.5, "quantized": None}}
    schemes = count_schemes({"a": INT4, "b": INT8, "c": INT8})
    return Receipt("m", "int4", schemes, {"source": "2 pictures"}, FIGURES, scores, {"date": "d"})


def test_it_comes_back(tmp_path: Path) -> None:
    assert read_receipt(tmp_path) is None
    (tmp_path / RECEIPT).write_text(receipt().to_json())
    read = read_receipt(tmp_path)
    assert read == json.loads(receipt().to_json())
    assert read is not None and Receipt(**read) == receipt()
    assert receipt().loss == 0.0125 and list(receipt().schemes) == ["int8", "int4-64"]


def test_it_reads_as_a_table() -> None:
    header, *rows = receipt().rows()
    assert header == ("", "f32", "quantized")
    assert len(rows) == len(ROWS) + 1
    told = {row[0]: row[1:] for row in rows}
    assert told["logit KL, nats a token"] == ("0.00000", "0.01250")
    assert told["tokens as in f32"] == ("100.0%", "97.0%")
    assert told["weight files, MiB"] == ("4.0", "1.0")
    assert told["cosine of visual tokens"] == ("", "")
    assert told["E1 (accuracy)"] == ("0.500", "")
