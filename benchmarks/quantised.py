"""What each precision and plan of quantising costs in answers, and brings in size and speed.

    python -m benchmarks.quantised                      # the embedded model; a quarter of an hour
    python -m benchmarks.quantised --pictures 8 --ways bf16,int8      # a quick look

Ways: `bf16`, `int8` and `int4` load the model in that precision; `plan-int8`, `plan-int4` and
`plan-auto` quantise it first, by pictures of the training split, and load the folder. All engines
are alive at once and take turns picture by picture; the float32 engine writes the answers, the
others read them (`evaluation/agreement.py` says what the figures mean). The pictures are drawings
of the test split of `recipes.embedded.assets`, evenly spread, and those in examples/. Writes
`results/quantised.json` and the table of `docs/quantisation.md` (`--page ""`: no table; `--render`:
the table alone, from the file). Times are of this machine, in one run; on a busy one they mean
nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from recipes.embedded.pack import AssetPack
from smolvlm.cli import machine
from smolvlm.engines.base import Engine
from smolvlm.evaluation.agreement import Difference, Prompt, differ, read, summarize
from smolvlm.export.calibration import QUESTION, make_prompt
from smolvlm.export.quantize import Order, open_engine, quantize
from smolvlm.processing.processor import Processor
from smolvlm.quant.folder import folder_bytes
from smolvlm.quant.receipt import MIB, REFERENCE
from smolvlm.weights.hub import find_model
from smolvlm.weights.reader import open_checkpoint

RESULT = Path(__file__).parent / "results" / "quantised.json"
EXAMPLES = Path(__file__).parents[1] / "examples"
PAGE = Path(__file__).parents[1] / "docs" / "quantisation.md"
TABLE_START, TABLE_END = "<!-- table: start -->", "<!-- table: end -->"
PLAN = "plan-"
WAYS = ("bf16", "int8", "int4", "plan-int8", "plan-int4", "plan-auto")
# The share of float32's tokens that the default plan has to reach.
WANTED = 0.95


def spread(pack: AssetPack, split: str, count: int) -> list[Image.Image]:
    """Pictures of a split, evenly spread over the pack."""
    indices = pack.indices(split)
    return [pack.image(indices[i * len(indices) // count]) for i in range(count)]


def quantised_folders(
    folder: Path,
    plans: Sequence[str],
    *,
    pictures: Sequence[Image.Image],
    home: Path,
    threads: int | None,
) -> dict[str, Path]:
    """The model quantised by each plan, all by the same pictures."""
    calibration = home / "calibration"
    calibration.mkdir()
    for number, picture in enumerate(pictures):
        picture.save(calibration / f"{number:03}.png")
    made = {}
    for plan in plans:
        print(plan)
        made[plan] = home / plan
        order = Order(plan=plan, calibrate=calibration, threads=threads)
        quantize(folder, made[plan], order, tell=print)
    return made


def take_turns(
    engines: dict[str, Engine], prompts: Sequence[Prompt], tokens: int
) -> dict[str, list[Difference]]:
    """What tells each engine's reading of every answer from the reference's.

    A round before packs weights.
    """
    for engine in engines.values():
        read(engine, prompts[0], tokens=2)
    told: dict[str, list[Difference]] = {name: [] for name in engines}
    for number, prompt in enumerate(prompts, start=1):
        wanted = read(engines[REFERENCE], prompt, tokens=tokens)
        for name, engine in engines.items():
            seen = wanted if name == REFERENCE else read(engine, prompt, answer=wanted.tokens)
            told[name].append(differ(wanted, seen))
        print(f"{number} of {len(prompts)}", flush=True)
    return told


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Every way against float32."""
    folder = find_model(options.model)
    pack, ways = AssetPack(options.pack), options.ways.split(",")
    own = [Image.open(path) for path in sorted(EXAMPLES.glob("*.png"))]
    pictures = [*own, *spread(pack, "test", options.pictures - len(own))]
    processor = Processor.from_folder(folder)
    prompts = [make_prompt(processor, picture, options.question) for picture in pictures]
    with tempfile.TemporaryDirectory() as home:
        plans = [way.removeprefix(PLAN) for way in ways if way.startswith(PLAN)]
        fitted = spread(pack, "train", options.calibrate)
        made = quantised_folders(
            folder, plans, pictures=fitted, home=Path(home), threads=options.threads
        )
        engines, sizes = {}, {}
        for way in (REFERENCE, *ways):
            place = made[way.removeprefix(PLAN)] if way.startswith(PLAN) else folder
            precision = None if way.startswith(PLAN) else way
            engines[way] = open_engine(open_checkpoint(place), precision, options.threads)
            sizes[way] = folder_bytes(place)
        found = take_turns(engines, prompts, options.tokens)
        receipts = {f"{PLAN}{p}": json.loads((made[p] / "receipt.json").read_text()) for p in plans}
    told = {way: summarize(found[way]).to_json() | {"bytes": sizes[way]} for way in engines}
    return {"ways": told, "schemes": {way: r["schemes"] for way, r in receipts.items()}}


def table(result: dict[str, Any]) -> str:
    """The Markdown table: a row for each way."""
    lines = [
        "| way | tokens as in f32 | identical answers | logit KL | cosine of visual tokens"
        " | vision, ms a tile | prompt, ms | tokens/s | weight files, MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {way} | {f['token_agreement']:.1%} | {f['identical']:.0%} | {f['logit_kl']:.4f}"
        f" | {f['feature_cosine']:.5f} | {f['tile_ms']:.0f} | {f['prefill_ms']:.0f}"
        f" | {f['tokens_per_s']:.0f} | {f['bytes'] / MIB:.0f} |"
        for way, f in result["ways"].items()
    ]
    about = (
        f"{result['pictures']} pictures, {next(iter(result['ways'].values()))['tokens']} tokens of"
        f" answers; {result['cpu']}, {result['cpus_used']} cores; {result['date']}; openvino"
        f" {result['versions']['openvino']}; plans rounded by {result['calibrated_by']} others."
    )
    return "\n".join([*lines, "", about])


def render(page: Path, result: dict[str, Any]) -> None:
    """Put the table into a page, between its marks."""
    before, rest = page.read_text(encoding="utf-8").split(TABLE_START)
    _, after = rest.split(TABLE_END)
    text = f"{before}{TABLE_START}\n{table(result)}\n{TABLE_END}{after}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure, write the file and the table, and say whether each way is near enough."""
    parser = argparse.ArgumentParser(description="Precisions and plans against float32")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--pack", default="~/.cache/smolvlm/assets/all", help="an asset pack")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--calibrate", type=int, default=16, help="pictures to round by")
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--page", default=str(PAGE))
    parser.add_argument("--render", action="store_true", help="only the table, from --output")
    options = parser.parse_args()
    if not options.render:
        measure(options)
    result = json.loads(options.output.read_text(encoding="utf-8"))
    if options.page:
        render(Path(options.page), result)
    for way, figures in result["ways"].items():
        near = "" if figures["token_agreement"] >= WANTED else f"  below {WANTED:.0%}"
        print(way, json.dumps(figures), near)


def measure(options: argparse.Namespace) -> None:
    """Run everything and write the file."""
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": machine.cpu_name(),
        "cpus_used": options.threads or machine.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("smolvlm", "openvino")},
        "model": options.model,
        "pictures": options.pictures,
        "calibrated_by": options.calibrate,
        "question": options.question,
        "tokens": options.tokens,
    }
    result = about | run(options)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
