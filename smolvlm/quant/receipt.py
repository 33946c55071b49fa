"""What quantising cost and what it brought: the receipt that lies in every quantised folder.

A plain record, as JSON for programs and as rows for people. Its figures are measured by others; the
scheme of each matrix is told as how many matrices have it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smolvlm.config import read_json
from smolvlm.quant.folder import RECEIPT
from smolvlm.quant.schemes import Scheme

Figures = Mapping[str, Any]
MIB = 2**20
REFERENCE = "f32"
# Figure -> what it is called, and how it is written.
ROWS = {
    "logit_kl": ("logit KL, nats a token", "{:.5f}"),
    "token_agreement": ("tokens as in f32", "{:.1%}"),
    "same_until": ("of an answer before the first difference", "{:.1%}"),
    "identical": ("identical answers", "{:.1%}"),
    "feature_cosine": ("cosine of visual tokens", "{:.5f}"),
    "tile_ms": ("vision, ms a tile", "{:.0f}"),
    "prefill_ms": ("prompt, ms", "{:.0f}"),
    "tokens_per_s": ("decoding, tokens/s", "{:.1f}"),
    "bytes": ("weight files, MiB", "{:.1f}"),
}


@dataclass(frozen=True)
class Receipt:
    """model, plan: what was quantised, and how it was asked to be. schemes: matrices by scheme.

    calibration: the pictures, how many there were, and how many of them were measured on.
    figures: for each way to run the model, what `ROWS` names, against `REFERENCE`.
    scores: task -> metric and score for each way, where a suite was given. made: where and when.
    """

    model: str
    plan: str
    schemes: Mapping[str, int]
    calibration: Figures
    figures: Mapping[str, Figures]
    scores: Mapping[str, Figures]
    made: Figures

    @property
    def loss(self) -> float:
        """What `--max-loss` is compared with: the logit KL of the quantised model."""
        return float(self.figures["quantized"]["logit_kl"])

    def to_json(self) -> str:
        """The text of `receipt.json`."""
        return json.dumps(vars(self), indent=1, ensure_ascii=False) + "\n"

    def rows(self) -> list[tuple[str, ...]]:
        """The figures as a table: a header, then a row for each figure and each score."""
        ways = list(self.figures)
        rows = [("", *ways)]
        for name, (title, form) in ROWS.items():
            values = [self.figures[way].get(name) for way in ways]
            rows.append((title, *(_written(value, name, form) for value in values)))
        for task, told in self.scores.items():
            cells = (told.get(way) for way in ways)
            rows.append(
                (f"{task} ({told['metric']})", *("" if c is None else f"{c:.3f}" for c in cells))
            )
        return rows


def count_schemes(schemes: Mapping[str, Scheme]) -> dict[str, int]:
    """How many matrices have each scheme, the most frequent first."""
    return dict(Counter(map(str, schemes.values())).most_common())


def read_receipt(folder: Path) -> Mapping[str, Any] | None:
    """A folder's receipt as it was written; None where there is none."""
    path = folder / RECEIPT
    return read_json(path) if path.is_file() else None


def _written(value: Any, name: str, form: str) -> str:
    if value is None:
        return ""
    return form.format(value / MIB if name == "bytes" else value)
